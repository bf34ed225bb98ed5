"""The pages of refunds, orders and webhook deliveries."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction, Performed
from backoffice.object_pages.delivery import build_delivery_page, find_resend_obstacle
from backoffice.object_pages.order import build_order_page
from backoffice.object_pages.refund import build_refund_page
from backoffice.services import merchant_operations
from gateway.admin import RefundAdmin
from gateway.models import Refund
from orders.admin import OrderAdmin
from orders.models import Order
from staff.roles import Permission
from webhooks.admin import WebhookDeliveryAdmin
from webhooks.models import WebhookDelivery

admin.site.unregister([Order, WebhookDelivery])
PAGE = "backoffice/object_page.html"


@admin.register(Refund)
class RefundPageAdmin(ActionsAdmin, RefundAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "refunds"
    list_select_related = ("payment", "merchant")  # type: ignore[assignment]
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = PAGE

    def page_context(self, request: HttpRequest, row: Refund) -> dict[str, Any]:
        return {"page": build_refund_page(row)}


@admin.register(Order)
class OrderPageAdmin(ActionsAdmin, OrderAdmin):  # type: ignore[misc]
    export_kind = "orders"
    inlines = ()  # type: ignore[assignment]  # the page shows the items
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = PAGE

    def page_context(self, request: HttpRequest, row: Order) -> dict[str, Any]:
        return {"page": build_order_page(row)}


def _resend(actor: User, delivery: WebhookDelivery, data: dict[str, Any]) -> Performed:
    merchant_operations.resend_webhook(
        delivery_id=delivery.pk, actor=actor.get_username(), reason=data["reason"]
    )
    return Performed(_("The webhook is sent again. Reload this page for its outcome."))


@admin.register(WebhookDelivery)
class DeliveryPageAdmin(ActionsAdmin, WebhookDeliveryAdmin):  # type: ignore[misc]
    export_kind = "deliveries"
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = PAGE
    staff_actions = (
        AdminAction(
            "resend",
            gettext_lazy("Resend"),
            gettext_lazy("Sends the event again now, with all retries. Its id stays the same."),
            Permission.RESEND_WEBHOOK,
            _resend,
            find_obstacle=find_resend_obstacle,
            is_dialog=True,
        ),
    )

    def page_context(self, request: HttpRequest, row: WebhookDelivery) -> dict[str, Any]:
        return {"page": build_delivery_page(row)}

"""Lists whose only action is their export; an order also links to its payment."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from backoffice.actions.admin import ActionsAdmin
from gateway.admin import RefundAdmin
from gateway.models import Payment, Refund
from orders.admin import OrderAdmin
from orders.models import Order
from webhooks.admin import WebhookDeliveryAdmin
from webhooks.models import WebhookDelivery

admin.site.unregister([Order, WebhookDelivery])


@admin.register(Refund)
class ExportableRefundAdmin(ActionsAdmin, RefundAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "refunds"


@admin.register(Order)
class ExportableOrderAdmin(ActionsAdmin, OrderAdmin):  # type: ignore[misc]
    export_kind = "orders"
    fields = ("order_no", "payment_link", *(name for name in OrderAdmin.fields if name != "order_no"))  # type: ignore[assignment]
    readonly_fields = ("payment_link",)

    @admin.display(description=_("payment"))
    def payment_link(self, order: Order) -> SafeString | str:
        payment = Payment.objects.filter(order=order).first()
        if payment is None:
            return "—"
        url = reverse("admin:gateway_payment_change", args=[payment.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, payment)


@admin.register(WebhookDelivery)
class ExportableDeliveryAdmin(ActionsAdmin, WebhookDeliveryAdmin):  # type: ignore[misc]
    export_kind = "deliveries"

"""Lists that have nothing to be done but their export."""

from django.contrib import admin

from events.admin import WebhookDeliveryAdmin
from events.models import WebhookDelivery
from gateway.admin import RefundAdmin
from gateway.models import Refund
from ops.operation_pages import OperableAdmin
from orders.admin import OrderAdmin
from orders.models import Order

admin.site.unregister([Refund, Order, WebhookDelivery])


@admin.register(Refund)
class ExportableRefundAdmin(OperableAdmin, RefundAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "refunds"


@admin.register(Order)
class ExportableOrderAdmin(OperableAdmin, OrderAdmin):  # type: ignore[misc]
    export_kind = "orders"


@admin.register(WebhookDelivery)
class ExportableDeliveryAdmin(OperableAdmin, WebhookDeliveryAdmin):  # type: ignore[misc]
    export_kind = "deliveries"

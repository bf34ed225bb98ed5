"""The page of an order."""

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.page_parts import ObjectPage, PageFact, Panel, StatusBadge, build_merchant_fact
from common.admin import money_text
from common.list_columns import show_moment
from gateway.models import Payment, Refund
from merchants.models import Environment
from orders.admin import COLOURS
from orders.models import Order, OrderItem

MAX_ITEMS = 200


def build_order_page(order: Order) -> ObjectPage:
    payment = Payment.objects.filter(order=order).first()
    return ObjectPage(
        heading=money_text(order.amount_minor, order.currency),
        state=StatusBadge(order.get_status_display(), COLOURS[order.status]),
        is_test=order.environment == Environment.TEST,
        facts=[
            build_merchant_fact(order.merchant_id, order.merchant.name),
            PageFact(_("order number"), order.order_no, is_code=True),
            PageFact(_("subject"), order.subject or "—", is_name=True),
            PageFact(_("created at"), show_moment(order.created_at)),
            PageFact(_("paid at"), show_moment(order.paid_at) if order.paid_at else "—"),
        ],
        amounts=_list_amounts(payment),
        panels=[_item_panel(order), _payment_panel(payment)],
    )


def _list_amounts(payment: Payment | None) -> list[tuple[str, str]]:
    if payment is None:
        return []
    return [
        (_("captured"), money_text(payment.captured_minor, payment.currency)),
        (_("refunded"), money_text(payment.refunded_minor, payment.currency)),
        (_("refundable"), money_text(payment.refundable_minor, payment.currency)),
    ]


def _item_panel(order: Order) -> Panel:
    items = OrderItem.objects.filter(order=order).order_by("pk")[:MAX_ITEMS]
    return Panel(
        title=_("Items"),
        columns=(_("name"), _("quantity"), _("unit amount"), _("amount")),
        rows=[
            (
                item.name,
                str(item.quantity),
                money_text(item.unit_amount_minor, order.currency),
                money_text(item.amount_minor, order.currency),
            )
            for item in items
        ],
    )


def _payment_panel(payment: Payment | None) -> Panel:
    rows, links = [], []
    if payment is not None:
        rows.append((payment.payment_no, _("Payment"), _money(payment), payment.get_status_display()))
        links.append(reverse("admin:gateway_payment_change", args=[payment.pk]))
        for refund in Refund.objects.filter(payment=payment).order_by("-created_at")[:MAX_ITEMS]:
            rows.append((refund.refund_no, _("Refund"), _money(refund), refund.get_status_display()))
            links.append(reverse("admin:gateway_refund_change", args=[refund.pk]))
    return Panel(
        title=_("Payment and refunds"),
        columns=(_("number"), _("kind"), _("amount"), _("status")),
        rows=rows,
        links=links,
        empty_text=_("No payment yet."),
    )


def _money(row: Payment | Refund) -> str:
    return money_text(row.amount_minor, row.currency)

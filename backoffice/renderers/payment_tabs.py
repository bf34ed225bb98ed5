"""The tabs of the payment's page. Each has its own address, and only the open one is computed."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from backoffice.renderers.entries import shown_entries
from backoffice.timeline.attempts import TONES as ATTEMPT_TONES
from backoffice.timeline.payment_timeline import build_timeline
from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.refunds import TONES as REFUND_TONES
from backoffice.timeline.registry import Tone
from common.admin import money_text
from gateway.models import AttemptStatus, RefundStatus
from orders.models import Order, OrderItem

OVERVIEW = "overview"


def _overview(records: PaymentRecords) -> dict[str, Any]:
    entries = shown_entries(build_timeline(records))
    return {"entries": entries, "has_technical": any(shown.entry.is_technical for shown in entries)}


def _refunds(records: PaymentRecords) -> dict[str, Any]:
    return {
        "rows": [
            {
                "refund": refund,
                "amount": money_text(refund.amount_minor, refund.currency),
                "tone": REFUND_TONES.get(RefundStatus(refund.status), Tone.INFO),
            }
            for refund in records.refunds
        ]
    }


def _attempts(records: PaymentRecords) -> dict[str, Any]:
    return {
        "rows": [
            {
                "attempt": attempt,
                "tone": ATTEMPT_TONES.get(AttemptStatus(attempt.status), Tone.INFO),
                "duplicate_payment": money_text(attempt.duplicate_minor, records.payment.currency)
                if attempt.duplicate_minor
                else "",
            }
            for attempt in records.attempts
        ]
    }


def _order(records: PaymentRecords) -> dict[str, Any]:
    order = Order.objects.get(id=records.payment.order_id)
    items = OrderItem.objects.filter(order=order).order_by("pk")[:ROWS_PER_SOURCE]
    return {
        "order": order,
        "order_amount": money_text(order.amount_minor, order.currency),
        "rows": [
            {
                "item": item,
                "unit_amount": money_text(item.unit_amount_minor, order.currency),
                "amount": money_text(item.amount_minor, order.currency),
            }
            for item in items
        ],
    }


def _raw(_records: PaymentRecords) -> dict[str, Any]:
    return {}


TABS: Mapping[str, tuple[Promise, Callable[[PaymentRecords], dict[str, Any]]]] = {
    OVERVIEW: (_("Timeline"), _overview),
    "refunds": (_("Refunds"), _refunds),
    "attempts": (_("Payment attempts"), _attempts),
    "order": (_("Order and items"), _order),
    "raw": (_("Technical"), _raw),
}


def tab(records: PaymentRecords, wanted: str) -> dict[str, Any]:
    chosen = wanted if wanted in TABS else OVERVIEW
    label, content = TABS[chosen]
    return {
        "tab": chosen,
        "tab_label": label,
        "tabs": [
            {"url": f"?tab={name}", "label": label, "here": name == chosen}
            for name, (label, _content) in TABS.items()
        ],
        **content(records),
    }

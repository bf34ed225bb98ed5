"""The kinds of exports: rows, permission to view them, columns and filters. One entry for each kind."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.models import StaffAction
from common.money import to_major_text
from gateway.models import Payment, Refund
from orders.models import Order
from sagas.models import SagaInstance
from webhooks.models import WebhookDelivery

Row = Mapping[str, Any]


class ColumnType(enum.Enum):
    """The type of a column in Parquet. In CSV, only texts are escaped, because they can be formulas."""

    TEXT = "text"
    MONEY = "money"  # in major units
    TIME = "time"
    DAY = "day"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Column:
    """`text` is computed from the fields in `needs`."""

    name: str
    needs: Sequence[str]
    text: Callable[[Row], Any]
    type: ColumnType = ColumnType.TEXT


@dataclass(frozen=True, slots=True)
class ExportKind:
    """Rows are read newest first by `order`, which has an index: every page costs the same. `filters` maps the names of
    filters, besides the times, to lookups."""

    name: str
    label: Promise
    model: type[Model]
    columns: Sequence[Column]
    filters: Mapping[str, str]
    order: Sequence[str] = ("created_at", "pk")

    @property
    def view_permission(self) -> str:
        return f"{self.model._meta.app_label}.view_{self.model._meta.model_name}"

    @property
    def statuses(self) -> Mapping[str, Any]:
        """Codes and labels; empty when the kind has no filter by status."""
        return dict(self.model._meta.get_field("status").flatchoices) if "status" in self.filters else {}  # type: ignore[union-attr]


def _plain(*names: str) -> list[Column]:
    return [Column(name, [name], lambda row, name=name: row[name]) for name in names]  # type: ignore[misc]


def _renamed(name: str, field: str) -> Column:
    return Column(name, [field], lambda row: row[field])


def _money(name: str) -> Column:
    """In major units, as a number that a spreadsheet can sum."""
    field = f"{name}_minor"
    return Column(
        name,
        [field, "currency"],
        lambda row: to_major_text(row[field], row["currency"]),
        ColumnType.MONEY,
    )


def _times(*names: str) -> list[Column]:
    """In the zone of the export (`csv_rows`)."""
    return [
        Column(name, [name], lambda row, name=name: row[name], ColumnType.TIME)  # type: ignore[misc]
        for name in names
    ]


_FILTERS = {
    "status": "status",
    "environment": "environment",
    "merchant": "merchant__email",
    "currency": "currency",
}
_PAID = {"paid_from": "paid_at__gte", "paid_until": "paid_at__lt"}
_OF_MERCHANT = [
    _renamed("merchant", "merchant__email"),
    *_plain("environment"),
]

KINDS: Mapping[str, ExportKind] = {
    kind.name: kind
    for kind in (
        ExportKind(
            "payments",
            _("Payments"),
            Payment,
            [
                *_plain("payment_no", "order_no"),
                *_OF_MERCHANT,
                *_plain("status", "channel", "channel_trade_no"),
                _money("amount"),
                *_plain("currency"),
                _money("captured"),
                _money("refunded"),
                _money("disputed"),
                *_plain("subject", "failure_code"),
                *_times("created_at", "paid_at", "closed_at"),
            ],
            _FILTERS | _PAID,
        ),
        ExportKind(
            "refunds",
            _("Refunds"),
            Refund,
            [
                *_plain("refund_no"),
                _renamed("payment_no", "payment__payment_no"),
                *_OF_MERCHANT,
                *_plain("status", "origin", "channel_refund_no"),
                _money("amount"),
                _money("late_refunded"),
                *_plain("currency", "reason", "failure_code", "previous_status"),
                *_times("created_at", "settled_at", "contradicted_at"),
            ],
            _FILTERS,
        ),
        ExportKind(
            "orders",
            _("Orders"),
            Order,
            [
                *_plain("order_no"),
                *_OF_MERCHANT,
                *_plain("status"),
                _money("amount"),
                *_plain("currency", "subject"),
                *_times("created_at", "paid_at", "cancelled_at"),
            ],
            _FILTERS | _PAID,
        ),
        ExportKind(
            "sagas",
            _("Sagas"),
            SagaInstance,
            [
                *_plain("id", "business_id", "definition", "status", "direction", "current_step"),
                *_plain("error_code", "error_message", "needs_attention", "attention_reason"),
                *_times("created_at", "completed_at", "compensated_at"),
            ],
            {"status": "status"},
        ),
        ExportKind(
            "deliveries",
            _("Webhook deliveries"),
            WebhookDelivery,
            [
                *_plain("id"),
                _renamed("event_id", "event__event_id"),
                _renamed("event", "event__type"),
                _renamed("about", "event__ordering_key"),
                _renamed("merchant", "endpoint__merchant__email"),
                *_plain("environment"),
                Column(
                    "address",
                    ["callback_url", "endpoint__url"],
                    lambda row: row["callback_url"] or row["endpoint__url"],
                ),
                *_plain("status", "attempt_count", "last_outcome", "last_status_code"),
                *_times("created_at", "due_at", "delivered_at"),
            ],
            {
                "status": "status",
                "environment": "environment",
                "merchant": "endpoint__merchant__email",
            },
        ),
        ExportKind(
            "staff_actions",
            _("Audit log"),
            StaffAction,
            [
                *_times("created_at"),
                *_plain("actor", "action", "object_type", "object_id", "reason", "before", "after"),
                *_plain("request_id", "address"),
            ],
            {"actor": "actor"},
            ("pk",),
        ),
    )
}

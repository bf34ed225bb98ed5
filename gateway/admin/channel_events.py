"""Pages of channel events: the verified webhooks of channels."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, label_column
from gateway.models import ChannelEvent, PaymentAttempt, Refund, UpdateEffect
from merchants.admin import EnvironmentFilter


class EventEnvironmentFilter(EnvironmentFilter):
    """An event belongs to the payment or refund that it names. One that names none that is known is in both lists."""

    @classmethod
    def narrow(cls, rows: QuerySet[Any], environment: str) -> QuerySet[Any]:
        """Leaves out the events of the other environment. In two conditions, each of which an index answers."""
        named = {"reference": OuterRef("reference")}
        attempts = PaymentAttempt.objects.filter(~Q(reference=""), **named)
        refunds = Refund.objects.filter(refund_no=OuterRef("reference"))
        rows = rows.filter(~Exists(attempts.exclude(payment__environment=environment)))
        return rows.filter(~Exists(refunds.exclude(environment=environment)))

    @classmethod
    def read_environment(cls, row: ChannelEvent) -> str:
        if not row.reference:
            return ""
        attempts = PaymentAttempt.objects.filter(reference=row.reference)
        refunds = Refund.objects.filter(refund_no=row.reference)
        of_attempt = attempts.values_list("payment__environment", flat=True).first()
        return of_attempt or refunds.values_list("environment", flat=True).first() or ""


@admin.register(ChannelEvent)
class ChannelEventAdmin(ReadOnlyAdmin):
    outcome = label_column("effect", _("effect"), UpdateEffect)
    list_display = ("received_at", "channel", "type", "reference", "outcome", "event_id")
    list_filter = (EventEnvironmentFilter,)
    readonly_fields = ("outcome",)
    fields = (
        "received_at",
        "channel",
        "type",
        "reference",
        "outcome",
        "unknown_updates",
        "event_id",
        "payload",
    )
    search_fields = ("=reference", "=event_id")
    search_help_text = _("Payment number, refund number or the channel's event id, in full.")

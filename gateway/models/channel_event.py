"""Channel events: the verified webhooks of channels."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7


class UpdateEffect(models.TextChoices):
    """The effect of a channel update here. Stored with the channel event that brought it."""

    APPLIED = "applied", _("Applied")
    NOTHING_NEW = "nothing_new", _("No change")
    SAGA_WOKEN = "saga_woken", _("Saga resumed")
    LATE_PAYMENT = "late_money", _("Late payment")
    NEEDS_REVIEW = "parked", _("Needs review")
    UNKNOWN_REFERENCE = "unknown_reference", _("Unknown reference")
    DISPUTED = "disputed", _("Dispute")


class ChannelEvent(models.Model):
    """A verified webhook, stored in the transaction of its effect: an event id has one effect, and each of its updates
    is applied once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("The account that the webhook is for. Empty: the platform's own."),
    )
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    reference = models.CharField(max_length=64, blank=True)
    effect = models.CharField(max_length=50)
    payload = models.JSONField(default=dict)
    # Names of the updates that were about nothing known here, when others of the event were known. They are applied
    # when the event comes again; null: all of its updates have the event's effect.
    unknown_updates = models.JSONField(null=True, blank=True)
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "channel_events"
        verbose_name = _("channel event")
        verbose_name_plural = _("channel events")
        constraints = [
            models.UniqueConstraint(
                name="channel_event_once",
                fields=["channel", "channel_account", "event_id"],
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(name="channel_event_by_reference", fields=["reference", "received_at"]),
            models.Index(
                name="channel_event_unknown",
                fields=["received_at"],
                condition=Q(effect="unknown_reference"),
            ),
            models.Index(name="channel_event_oldest", fields=["received_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"

"""The outbox: events, written in the transaction that causes them. All events leave the platform through it."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7


class OutboxEvent(models.Model):
    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    type = models.CharField(max_length=100)
    # Events of one key are published in order. The key is the payment or order number.
    ordering_key = models.CharField(max_length=64)
    merchant_id = models.UUIDField()
    environment = models.CharField(max_length=10)
    subject_id = models.UUIDField()
    data = models.JSONField()
    trace_context = models.JSONField(default=dict, blank=True)
    # The address that the payment named for itself, called in addition to the registered endpoints.
    callback_url = models.CharField(max_length=2000, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # Separate columns, so that an outage of a sink delays no webhooks.
    published_at = models.DateTimeField(null=True, blank=True)
    fanned_out_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "outbox_events"
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(
                name="outbox_undelivered", fields=["id"], condition=models.Q(published_at__isnull=True)
            ),
            models.Index(
                name="outbox_not_fanned_out", fields=["id"], condition=models.Q(fanned_out_at__isnull=True)
            ),
            models.Index(name="outbox_by_key", fields=["ordering_key", "id"]),
            models.Index(
                name="outbox_by_merchant", fields=["merchant_id", "environment", "-created_at", "-event_id"]
            ),
            models.Index(
                name="outbox_by_merchant_type",
                fields=["merchant_id", "environment", "type", "-created_at", "-event_id"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.ordering_key}"

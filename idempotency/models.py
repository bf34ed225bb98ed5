"""The record of one Idempotency-Key. PostgreSQL decides; Redis only repeats stored answers."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7


class IdempotencyKey(models.Model):
    class State(models.TextChoices):
        IN_FLIGHT = "in_flight", _("In flight")
        COMPLETED = "completed", _("Completed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.CharField(max_length=80, help_text=_("Merchant and environment."))
    method = models.CharField(max_length=10)
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    # The id of the object that the request creates. It is fixed with the claim, so that a request that resumes the
    # write never creates a second one.
    resource_id = models.UUIDField()
    field_fingerprints = models.JSONField()
    state = models.CharField(max_length=20, choices=State, default=State.IN_FLIGHT)
    fence = models.BigIntegerField(default=1)
    lease_expires_at = models.DateTimeField()
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.BinaryField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "idempotency_keys"
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [
            models.UniqueConstraint(name="idempotency_key_once", fields=["tenant", "key", "method", "route"]),
            models.CheckConstraint(
                name="idempotency_completed_has_answer",
                condition=models.Q(state="in_flight")
                | models.Q(state="completed", response_status__isnull=False, response_body__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="idempotency_retention", fields=["created_at"]),
            models.Index(
                name="idempotency_by_request",
                fields=["request_id"],
                opclasses=["varchar_pattern_ops"],
                condition=~models.Q(request_id=""),
            ),
        ]

    def __str__(self) -> str:
        return self.key

"""Captures of an authorized payment. A trigger (migration 0002) allows only the transitions of
`gateway/state_machine/transitions.py`."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from gateway.models.payment import Payment


class CaptureStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


class Capture(models.Model):
    """One capture of a payment, with the id of its saga. The succeeded ones add up to the payment's `captured_minor`.

    Money that the customer paid at once has no captures.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="captures", db_index=False)
    number = models.PositiveSmallIntegerField()
    amount_minor = models.BigIntegerField()
    is_final = models.BooleanField(help_text=_("It releases what it does not capture."))
    is_made_at_channel = models.BooleanField(
        default=False, db_default=False, help_text=_("Not requested here, for example made in a dashboard.")
    )
    status = models.CharField(max_length=20, choices=CaptureStatus, default=CaptureStatus.PENDING)
    failure_code = models.CharField(max_length=100, blank=True, db_default="")
    failure_message = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "captures"
        verbose_name = _("payment capture")
        verbose_name_plural = _("payment captures")
        constraints = [
            models.UniqueConstraint(name="capture_number_once", fields=["payment", "number"]),
            # The channel's total tells whether a capture has happened, so the next one waits for its outcome.
            models.UniqueConstraint(
                name="capture_one_in_flight", fields=["payment"], condition=Q(status=CaptureStatus.PENDING)
            ),
            models.UniqueConstraint(
                name="capture_final_once",
                fields=["payment"],
                condition=Q(status=CaptureStatus.SUCCEEDED, is_final=True),
            ),
            models.CheckConstraint(name="capture_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(name="capture_status_known", condition=Q(status__in=CaptureStatus.values)),
        ]
        indexes = [
            models.Index(
                name="capture_settled",
                fields=["settled_at"],
                condition=Q(status=CaptureStatus.SUCCEEDED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.number}"

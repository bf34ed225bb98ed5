"""Increments of an authorization. A trigger (migration 0002) allows only the transitions of
`gateway/state_machine/transitions.py`."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from gateway.models.payment import Payment


class IncrementStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


class AuthorizationIncrement(models.Model):
    """One attempt to have the channel authorize a larger amount, with the id of its saga. A declined one leaves the
    authorization as it was."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="authorization_increments", db_index=False
    )
    number = models.PositiveSmallIntegerField()
    reference = models.CharField(max_length=64, help_text=_("The attempt whose authorization it is."))
    previous_minor = models.BigIntegerField(help_text=_("The authorized amount before."))
    amount_minor = models.BigIntegerField(help_text=_("The authorized amount afterwards."))
    status = models.CharField(max_length=20, choices=IncrementStatus, default=IncrementStatus.PENDING)
    failure_code = models.CharField(max_length=100, blank=True, db_default="")
    failure_message = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "authorization_increments"
        verbose_name = _("authorization increment")
        verbose_name_plural = _("authorization increments")
        constraints = [
            models.UniqueConstraint(name="increment_number_once", fields=["payment", "number"]),
            models.UniqueConstraint(
                name="increment_one_in_flight",
                fields=["payment"],
                condition=Q(status=IncrementStatus.PENDING),
            ),
            models.CheckConstraint(
                name="increment_increases", condition=Q(amount_minor__gt=F("previous_minor"))
            ),
            models.CheckConstraint(
                name="increment_status_known", condition=Q(status__in=IncrementStatus.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.number}"

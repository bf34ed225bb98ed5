"""Attempts: each try to have a payment made at one channel."""

import re

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from gateway.models.payment import Payment


class AttemptStatus(models.TextChoices):
    CALLING = "calling", _("Calling")
    OPEN = "open", _("Open")
    SUCCEEDED = "succeeded", _("Succeeded")
    DECLINED = "declined", _("Declined")
    CANCELLED = "cancelled", _("Cancelled")


OPEN_ATTEMPT_STATUSES = (AttemptStatus.CALLING, AttemptStatus.OPEN)


_ATTEMPT_REFERENCE = re.compile(r"(?P<payment_no>PAY-[0-9]{8}-[0-9]{6,20})(-(?P<number>[0-9]{1,4}))?")


def build_attempt_reference(payment_no: str, number: int) -> str:
    """Builds the name by which a channel knows an attempt: the payment number, from the second attempt on with the
    attempt's number."""
    return payment_no if number == 1 else f"{payment_no}-{number}"


def read_attempt_reference(reference: str) -> tuple[str, int] | None:
    """Reads the payment number and the number of the attempt from a reference; None for a name that is not ours."""
    match = _ATTEMPT_REFERENCE.fullmatch(reference)
    return (match["payment_no"], int(match["number"] or 1)) if match else None


def reduce_application_fee(fee_minor: int, amount_minor: int, whole_minor: int) -> int:
    """Returns the fee of a part of the whole amount. The channel reduces the fee in proportion and rounds it down."""
    return fee_minor * min(amount_minor, whole_minor) // whole_minor


class PaymentAttempt(models.Model):
    """The attempt with the highest number is the payment's current one. What an earlier one captures is a duplicate
    payment: the `duplicate_…` columns keep it apart from the payment's own money."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveSmallIntegerField(default=1)
    reference = models.CharField(
        max_length=64,
        blank=True,
        db_default="",
        help_text=_("The reference by which the channel knows the attempt."),
    )
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Never changes. Empty: the platform's own account."),
    )
    sandbox = models.BooleanField(default=False, db_default=False)
    status = models.CharField(max_length=20, choices=AttemptStatus, default=AttemptStatus.CALLING)
    channel_trade_no = models.CharField(max_length=255, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)
    application_fee_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text=_(
            "What the platform takes of this attempt, as it was requested. A partial capture takes it in proportion."
        ),
    )
    duplicate_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text=_("Amount of a duplicate payment, kept apart from the payment's own money."),
    )
    duplicate_pending_minor = models.BigIntegerField(default=0, db_default=0)
    duplicate_refunded_minor = models.BigIntegerField(default=0, db_default=0)
    duplicate_disputed_minor = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    opened_by = models.UUIDField(
        null=True,
        blank=True,
        help_text=_("The payment.retry saga that began a further attempt of a closed payment."),
    )

    class Meta:
        db_table = "payment_attempts"
        verbose_name = _("payment attempt")
        verbose_name_plural = _("payment attempts")
        constraints = [
            models.UniqueConstraint(name="payment_attempt_once", fields=["payment", "number"]),
            models.UniqueConstraint(
                name="payment_attempt_reference_once", fields=["reference"], condition=~Q(reference="")
            ),
            models.CheckConstraint(
                name="payment_attempt_fee_not_negative", condition=Q(application_fee_minor__gte=0)
            ),
            models.CheckConstraint(
                name="payment_attempt_duplicate_adds_up",
                condition=Q(
                    duplicate_refunded_minor__gte=0,
                    duplicate_pending_minor__gte=0,
                    duplicate_disputed_minor__gte=0,
                    duplicate_minor__gte=F("duplicate_refunded_minor")
                    + F("duplicate_pending_minor")
                    + F("duplicate_disputed_minor"),
                ),
            ),
        ]
        indexes = [
            models.Index(
                name="payment_attempt_duplicate", fields=["created_at"], condition=Q(duplicate_minor__gt=0)
            ),
            models.Index(name="payment_attempt_by_channel", fields=["channel", "created_at"]),
            models.Index(
                name="payment_attempt_by_saga", fields=["opened_by"], condition=Q(opened_by__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.number}"

    @property
    def unbooked_duplicate_minor(self) -> int:
        """The duplicate payment without what is booked to it: refunds and disputes."""
        return (
            self.duplicate_minor
            - self.duplicate_refunded_minor
            - self.duplicate_pending_minor
            - self.duplicate_disputed_minor
        )

    @property
    def duplicate_refundable_minor(self) -> int:
        """The amount of the duplicate payment that can be refunded now, without suspense. Costs a query."""
        if self.unbooked_duplicate_minor == 0:
            return 0
        items = self.payment.suspense_items.filter(attempt=self, status="open")
        held = items.filter(currency=self.payment.currency)
        return max(0, self.unbooked_duplicate_minor - sum(held.values_list("amount_minor", flat=True)))

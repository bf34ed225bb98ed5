"""Refunds. Money invariants are constraints of the table; a trigger (migration 0002) allows only the transitions of
`gateway/state_machine/transitions.py`."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from gateway.models.attempt import PaymentAttempt
from gateway.models.payment import Payment
from merchants.models import Merchant


class RefundStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PROCESSING = "processing", _("Processing")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


OPEN_REFUND_STATUSES = (RefundStatus.PENDING, RefundStatus.PROCESSING)


class RefundOrigin(models.TextChoices):
    MERCHANT = "merchant", _("Merchant")
    STAFF = "staff", _("Staff")
    AUTOMATIC = "automatic", _("Automatic: late or duplicate payment")
    CHANNEL = "channel", _("Made at the channel")


class Refund(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    refund_no = models.CharField(max_length=40, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    duplicate_attempt = models.ForeignKey(
        PaymentAttempt,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The attempt whose duplicate payment is refunded; empty: the payment's own money."),
    )
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=20, choices=RefundStatus, default=RefundStatus.PENDING)
    origin = models.CharField(
        max_length=20, choices=RefundOrigin, default=RefundOrigin.MERCHANT, db_default=RefundOrigin.MERCHANT
    )
    channel = models.CharField(
        max_length=30,
        blank=True,
        db_default="",
        help_text=_("The channel that makes the refund; the refund number below is its own."),
    )
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("The account that makes the refund. Empty: the platform's own."),
    )
    returns_application_fee = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("The platform gives back its part of the application fee."),
    )
    channel_refund_no = models.CharField(max_length=255, blank=True)
    call_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("Earliest time of the channel call: the channel wants a pause after the last refund."),
    )
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)
    contradicted_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the channel reported another outcome than the settled one.")
    )
    previous_status = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        help_text=_("The outcome before the channel reported the other one."),
    )
    late_refunded_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text=_("Of a failed refund: the amount that the channel refunded after all."),
    )
    next_check_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Time of the next query to the channel.")
    )
    check_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "refunds"
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        constraints = [
            models.CheckConstraint(name="refund_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(name="refund_status_known", condition=Q(status__in=RefundStatus.values)),
            models.CheckConstraint(name="refund_origin_known", condition=Q(origin__in=RefundOrigin.values)),
            models.UniqueConstraint(
                name="refund_channel_no_once",
                fields=["channel", "channel_account", "channel_refund_no"],
                nulls_distinct=False,
                condition=~Q(channel="") & ~Q(channel_refund_no=""),
            ),
            models.CheckConstraint(
                name="refund_late_part",
                condition=Q(late_refunded_minor=0)
                | Q(
                    status=RefundStatus.FAILED,
                    late_refunded_minor__gt=0,
                    late_refunded_minor__lte=F("amount_minor"),
                ),
            ),
        ]
        indexes = [
            models.Index(name="refund_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]),
            models.Index(
                name="refund_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
            models.Index(name="refund_newest", fields=["-created_at"]),
            models.Index(name="refund_by_amount", fields=["currency", "amount_minor", "-created_at"]),
            models.Index(
                OpClass(Upper("channel_refund_no"), name="text_pattern_ops"),
                name="refund_find_channel_no",
                condition=~Q(channel_refund_no=""),
            ),
            models.Index(
                name="refund_settled",
                fields=["settled_at"],
                condition=Q(status=RefundStatus.SUCCEEDED),
            ),
            models.Index(
                name="refund_due_check",
                fields=["environment", "merchant", "check_count", "next_check_at"],
                condition=Q(next_check_at__isnull=False),
            ),
            models.Index(
                name="refund_contradicted",
                fields=["contradicted_at"],
                condition=Q(contradicted_at__isnull=False),
            ),
            models.Index(
                name="refund_of_duplicate",
                fields=["duplicate_attempt"],
                condition=Q(duplicate_attempt__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.refund_no

    @property
    def has_late_success(self) -> bool:
        """It is failed here and succeeded at the channel, with more than was left to refund, and a review was opened.
        Perhaps nothing was left; then only the previous status tells."""
        return self.late_refunded_minor > 0 or self.status == self.previous_status == RefundStatus.FAILED

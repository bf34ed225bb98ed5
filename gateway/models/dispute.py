"""Disputes: a customer takes money back through the bank."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from gateway.models.attempt import PaymentAttempt
from gateway.models.payment import Payment
from merchants.models import Merchant


class DisputeStatus(models.TextChoices):
    NEEDS_RESPONSE = "needs_response", _("Needs a response")
    UNDER_REVIEW = "under_review", _("Under review at the bank")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")
    CLOSED = "closed", _("Closed without a decision")


CLOSED_DISPUTE_STATUSES = (DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.CLOSED)


class Dispute(models.Model):
    """Merchants answer a dispute at the channel. Here it blocks refunds of the disputed amount."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dispute_no = models.CharField(max_length=40, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    attempt = models.ForeignKey(
        PaymentAttempt,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The duplicate payment it is about; empty: the payment's own money."),
    )
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10)
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("The account of the disputed payment. Empty: the platform's own."),
    )
    channel_dispute_no = models.CharField(max_length=255)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=100)
    status = models.CharField(max_length=20, choices=DisputeStatus)
    is_inquiry = models.BooleanField(
        default=False, help_text=_("An inquiry: the bank has taken no money, and a refund settles it.")
    )
    evidence_due_by = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "disputes"
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        constraints = [
            models.UniqueConstraint(
                name="dispute_once",
                fields=["channel", "channel_account", "channel_dispute_no"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(name="dispute_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(name="dispute_status_known", condition=Q(status__in=DisputeStatus.values)),
        ]
        indexes = [
            models.Index(
                name="dispute_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
            models.Index(
                name="dispute_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
            models.Index(name="dispute_newest", fields=["-created_at"]),
            models.Index(
                OpClass(Upper("channel_dispute_no"), name="text_pattern_ops"), name="dispute_find_channel_no"
            ),
            models.Index(
                name="dispute_evidence_due",
                fields=["evidence_due_by"],
                condition=Q(status=DisputeStatus.NEEDS_RESPONSE),
            ),
        ]

    def __str__(self) -> str:
        return self.dispute_no

    @property
    def is_open(self) -> bool:
        return self.status not in CLOSED_DISPUTE_STATUSES

    @property
    def withdrawn_minor(self) -> int:
        """The amount that the bank has taken, for good or until it decides."""
        is_taken = self.status == DisputeStatus.LOST or (self.is_open and not self.is_inquiry)
        return self.amount_minor if is_taken else 0

    @property
    def blocked_minor(self) -> int:
        """The part of the payment's own money that cannot be refunded because the bank has taken it."""
        return self.withdrawn_minor if self.attempt_id is None else 0

"""Disputes: a customer takes money back through the bank."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from channels.base import ChannelDisputeReason as Reason
from channels.base import ChannelDisputeStage as Stage
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


class DisputeStage(models.TextChoices):
    INQUIRY = Stage.INQUIRY.value, _("Inquiry")
    CHARGEBACK = Stage.CHARGEBACK.value, _("Chargeback")
    PRE_ARBITRATION = Stage.PRE_ARBITRATION.value, _("Pre-arbitration")
    ARBITRATION = Stage.ARBITRATION.value, _("Arbitration")


class DisputeReason(models.TextChoices):
    FRAUDULENT = Reason.FRAUDULENT.value, _("Fraudulent")
    UNRECOGNIZED = Reason.UNRECOGNIZED.value, _("Not recognized by the customer")
    DUPLICATE = Reason.DUPLICATE.value, _("Paid twice or by other means")
    PRODUCT_NOT_RECEIVED = Reason.PRODUCT_NOT_RECEIVED.value, _("Product not received")
    PRODUCT_UNACCEPTABLE = Reason.PRODUCT_UNACCEPTABLE.value, _("Product not acceptable")
    CREDIT_NOT_PROCESSED = Reason.CREDIT_NOT_PROCESSED.value, _("Refund not received")
    SUBSCRIPTION_CANCELED = Reason.SUBSCRIPTION_CANCELED.value, _("Subscription canceled")
    INCORRECT_AMOUNT = Reason.INCORRECT_AMOUNT.value, _("Wrong amount")
    GENERAL = Reason.GENERAL.value, _("Other reason")


CLOSED_DISPUTE_STATUSES = (DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.CLOSED)


class Dispute(models.Model):
    """The amount that the bank has taken is booked against the payment, or against a duplicate payment. The excess is
    in suspense (ADR 49). A trigger (migration 0002) lets a dispute only go forward."""

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
    reason = models.CharField(max_length=30, choices=DisputeReason)
    channel_reason = models.CharField(max_length=100, blank=True, help_text=_("The channel's word for it."))
    stage = models.CharField(max_length=20, choices=DisputeStage, default=DisputeStage.CHARGEBACK)
    status = models.CharField(max_length=20, choices=DisputeStatus)
    blocked_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text=_(
            "Of the payment's money, in its currency: cannot be refunded, because the bank has taken it."
        ),
    )
    suspense_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("Taken by the bank, and more than the payment holds.")
    )
    is_excess_charged = models.BooleanField(
        default=False, db_default=False, help_text=_("Staff have charged the excess to the merchant.")
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
            models.CheckConstraint(name="dispute_stage_known", condition=Q(stage__in=DisputeStage.values)),
            models.CheckConstraint(name="dispute_reason_known", condition=Q(reason__in=DisputeReason.values)),
            models.CheckConstraint(
                name="dispute_amounts_add_up",
                condition=Q(
                    blocked_minor__gte=0, suspense_minor__gte=0, suspense_minor__lte=F("amount_minor")
                ),
            ),
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
                name="dispute_to_answer_by_age", fields=["created_at"], condition=Q(status="needs_response")
            ),
            models.Index(
                OpClass(Upper("channel_dispute_no"), name="text_pattern_ops"), name="dispute_find_channel_no"
            ),
            models.Index(
                name="dispute_in_suspense", fields=["created_at"], condition=Q(suspense_minor__gt=0)
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
    def is_inquiry(self) -> bool:
        """The bank has taken no money, and a refund settles it."""
        return self.stage == DisputeStage.INQUIRY

    @property
    def withdrawn_minor(self) -> int:
        """The amount that the bank has taken, for good or until it decides."""
        is_taken = self.status == DisputeStatus.LOST or (self.is_open and not self.is_inquiry)
        return self.amount_minor if is_taken else 0

"""Reviews: the reasons why a payment needs review."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from gateway.models.payment import Payment


class ReviewCode(models.TextChoices):
    """The reason why a payment needs review."""

    MISMATCH = "mismatch", _("The channel's data differ from ours")
    LATE_PAYMENT = "late_payment", _("Paid after it was closed")
    DUPLICATE_PAYMENT = "duplicate_payment", _("Paid twice")
    HELD_FUNDS = "held_funds", _("The channel holds money for a closed payment")
    REFUND_FAILED = "refund_failed", _("An automatic refund failed")
    REFUND_OUTCOME = "refund_outcome", _("The channel refunded a refund that had failed")
    CHANNEL_REFUND = "channel_refund", _("A refund at the channel exceeds what can be refunded")
    DISPUTE = "dispute", _("Disputed by the customer")
    DISPUTE_EXCESS = "dispute_excess", _("A dispute took more than the payment holds")
    CANCEL_REFUSED = "cancel_refused", _("The channel refuses to end an expired payment")
    ADOPTED = "adopted", _("Adopted from the channel after a restore")
    NO_OUTCOME = "no_outcome", _("The channel reports no outcome")


class PaymentReview(models.Model):
    """One reason why a payment needs review. Several can be open, and each is resolved by itself. A trigger keeps
    `payments.needs_attention` and `attention_reason` in step with the open ones."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.CASCADE, related_name="reviews", db_index=False)
    code = models.CharField(max_length=30, choices=ReviewCode)
    subject = models.CharField(
        max_length=255, blank=True, help_text=_("The refund, dispute or attempt that the review is about.")
    )
    text = models.TextField(help_text=_("The reason in English, for the terminal and the audit log."))
    message = models.CharField(
        max_length=40, blank=True, help_text=_("The reason's message in gateway/review_reasons.py.")
    )
    message_values = models.JSONField(default=dict, blank=True)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.TextField(blank=True)
    resolved_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "payment_reviews"
        verbose_name = _("payment review")
        verbose_name_plural = _("payment reviews")
        constraints = [
            models.UniqueConstraint(
                name="payment_review_open_once",
                fields=["payment", "code", "subject"],
                condition=Q(resolved_at__isnull=True),
            ),
            models.CheckConstraint(name="payment_review_code_known", condition=Q(code__in=ReviewCode.values)),
        ]
        indexes = [
            models.Index(name="payment_review_of_payment", fields=["payment", "opened_at"]),
            models.Index(name="payment_review_newest", fields=["-opened_at"]),
            models.Index(
                name="payment_review_open_by_age", fields=["opened_at"], condition=Q(resolved_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} {self.subject}".strip()

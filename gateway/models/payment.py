"""Payments. Money invariants are constraints of the table; a trigger (migration 0002) allows only the transitions of
`gateway/state_machine/transitions.py`."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from merchants.models import Merchant
from orders.models import Order


class PaymentStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PROCESSING = "processing", _("Processing")
    AUTHORIZED = "authorized", _("Authorized")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


OPEN_PAYMENT_STATUSES = (PaymentStatus.PENDING, PaymentStatus.PROCESSING, PaymentStatus.AUTHORIZED)
# A payment that arrives after one of these is a late payment.
CLOSED_UNPAID_STATUSES = (PaymentStatus.FAILED, PaymentStatus.CANCELLED, PaymentStatus.EXPIRED)


class CaptureMethod(models.TextChoices):
    AUTOMATIC = "automatic", _("Automatic")
    MANUAL = "manual", _("Manual")


# What the search of the back office finds of a customer.
CUSTOMER_KEYS_SEARCHED = ("email", "id", "name")
# After so many refused cancellations an expired payment needs review.
MAX_EXPIRY_ATTEMPTS = 6


class Payment(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment_no = models.CharField(max_length=40, unique=True)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10)
    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="payment")
    order_no = models.CharField(max_length=64)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=20, choices=PaymentStatus, default=PaymentStatus.PENDING)
    channel = models.CharField(max_length=30)
    sandbox = models.BooleanField(default=False)
    payment_method = models.CharField(
        max_length=40, blank=True, db_default="", help_text=_("The method of the current attempt.")
    )
    card_brand = models.CharField(max_length=20, blank=True, default="", db_default="")
    card_last_four = models.CharField(
        max_length=4,
        blank=True,
        default="",
        db_default="",
        help_text=_("Of the card that paid, where the channel tells it."),
    )
    card_wallet = models.CharField(max_length=20, blank=True, default="", db_default="")
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("The account of the current attempt. Empty: the platform's own."),
    )
    capture_method = models.CharField(max_length=20, choices=CaptureMethod, default=CaptureMethod.AUTOMATIC)
    subject = models.CharField(max_length=255)
    body = models.TextField(blank=True)
    callback_url = models.CharField(max_length=2000, blank=True)
    return_url = models.CharField(max_length=2000, blank=True)
    customer = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    channel_reference = models.CharField(
        max_length=64,
        blank=True,
        db_default="",
        help_text=_("The reference by which the channel knows the current attempt."),
    )
    channel_trade_no = models.CharField(max_length=255, blank=True)
    payment_url = models.CharField(max_length=2000, blank=True)
    next_action = models.JSONField(
        null=True, blank=True, help_text=_("What the customer does to pay, as the API shows it.")
    )
    authorization_increment_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("Authorized in addition to the amount.")
    )
    captured_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    refund_pending_minor = models.BigIntegerField(default=0)
    disputed_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("In open and lost disputes: it cannot be refunded.")
    )
    suspense_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text=_("Taken by disputes and refunds at the channel, and more than the payment holds."),
    )
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)

    needs_attention = models.BooleanField(
        default=False, help_text=_("A review is open. A trigger keeps it in step with payment_reviews.")
    )
    attention_reason = models.TextField(blank=True)
    next_check_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Time of the next query to the channel.")
    )
    check_count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()
    expiry_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_expiry_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("Earliest time of the next cancellation after the channel refused one."),
    )
    paid_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "payments"
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            models.UniqueConstraint(
                name="payment_order_no_once", fields=["merchant", "environment", "order_no"]
            ),
            models.CheckConstraint(
                name="payment_money_adds_up",
                condition=Q(
                    refunded_minor__gte=0,
                    refund_pending_minor__gte=0,
                    disputed_minor__gte=0,
                    captured_minor__gte=F("refunded_minor") + F("refund_pending_minor") + F("disputed_minor"),
                    captured_minor__lte=F("amount_minor") + F("authorization_increment_minor"),
                    amount_minor__gt=0,
                    authorization_increment_minor__gte=0,
                ),
            ),
            models.CheckConstraint(name="payment_suspense_not_negative", condition=Q(suspense_minor__gte=0)),
            models.CheckConstraint(
                name="payment_succeeded_is_captured",
                condition=~Q(status=PaymentStatus.SUCCEEDED) | Q(captured_minor__gt=0),
            ),
            # Never more of a card number than this.
            models.CheckConstraint(
                name="payment_card_last_four_digits",
                condition=Q(card_last_four="") | Q(card_last_four__regex=r"^[0-9]{4}$"),
            ),
            models.CheckConstraint(name="payment_status_known", condition=Q(status__in=PaymentStatus.values)),
            models.CheckConstraint(
                name="payment_environment_known", condition=Q(environment__in=["test", "live"])
            ),
        ]
        indexes = [
            # The lists of the API (common/api/pagination.py). A list of one channel reads each status by itself.
            models.Index(
                name="payment_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
            models.Index(
                name="payment_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
            models.Index(
                name="payment_by_merchant_channel",
                fields=["merchant", "environment", "channel", "status", "-created_at", "-id"],
            ),
            models.Index(name="payment_newest", fields=["-created_at"]),
            models.Index(name="payment_newest_by_status", fields=["status", "-created_at"]),
            models.Index(name="payment_by_amount", fields=["currency", "amount_minor", "-created_at"]),
            models.Index(
                name="payment_by_card",
                fields=["card_last_four", "currency", "amount_minor", "-created_at"],
                condition=~Q(card_last_four=""),
            ),
            models.Index(
                name="payment_paid",
                fields=["paid_at"],
                condition=Q(paid_at__isnull=False),
            ),
            models.Index(
                name="payment_due_expiry",
                fields=["expires_at"],
                condition=Q(status="pending", expiry_attempts__lt=MAX_EXPIRY_ATTEMPTS),
            ),
            models.Index(
                name="payment_expiry_by_merchant",
                fields=["environment", "merchant", "expires_at"],
                condition=Q(status="pending", expiry_attempts__lt=MAX_EXPIRY_ATTEMPTS),
            ),
            models.Index(
                name="payment_due_check",
                fields=["environment", "channel", "merchant", "check_count", "next_check_at"],
                condition=Q(next_check_at__isnull=False),
            ),
            models.Index(name="payment_attention", fields=["created_at"], condition=Q(needs_attention=True)),
            models.Index(
                name="payment_by_trade_no", fields=["channel_trade_no"], condition=~Q(channel_trade_no="")
            ),
            # The search of the back office: the beginning of a number or name, in any case (ADR 43).
            models.Index(
                OpClass(Upper("channel_trade_no"), name="text_pattern_ops"),
                name="payment_find_trade_no",
                condition=~Q(channel_trade_no=""),
            ),
            *(
                models.Index(
                    OpClass(Upper(KT(f"customer__{key}")), name="text_pattern_ops"),
                    name=f"payment_find_customer_{key}",
                    condition=Q(customer__has_key=key),
                )
                for key in CUSTOMER_KEYS_SEARCHED
            ),
        ]

    def __str__(self) -> str:
        return self.payment_no

    @property
    def authorized_minor(self) -> int:
        """The amount that the channel authorizes in all: captured at most."""
        return self.amount_minor + self.authorization_increment_minor

    @property
    def capturable_minor(self) -> int:
        """The amount that the channel holds and that can be captured now."""
        return self.authorized_minor - self.captured_minor if self.status == PaymentStatus.AUTHORIZED else 0

    @property
    def is_partly_captured(self) -> bool:
        """Some of the held funds were captured, and the rest is still held."""
        return self.status == PaymentStatus.AUTHORIZED and self.captured_minor > 0

    @property
    def has_refundable_status(self) -> bool:
        """The merchant may refund what was captured."""
        return self.status == PaymentStatus.SUCCEEDED or self.is_partly_captured

    @property
    def unrefunded_minor(self) -> int:
        """The captured amount without what was refunded or is being refunded."""
        return self.captured_minor - self.refunded_minor - self.refund_pending_minor

    @property
    def unbooked_minor(self) -> int:
        """The captured amount to which nothing is booked: neither a refund nor a dispute."""
        return self.unrefunded_minor - self.disputed_minor

    @property
    def refundable_minor(self) -> int:
        """The amount that can be refunded now: without disputed money, and without what is in suspense."""
        return max(0, self.unbooked_minor - self.suspense_minor)

    @property
    def refund_status(self) -> str:
        if self.refunded_minor == 0:
            return "none"
        return "full" if self.refunded_minor >= self.captured_minor else "partial"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_PAYMENT_STATUSES

    @property
    def reference(self) -> str:
        """The reference by which the channel knows the current attempt."""
        return self.channel_reference or self.payment_no

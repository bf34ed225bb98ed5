"""Payments, their attempts at channels, and refunds. Money invariants are constraints of the tables,
so that no code can break them; a trigger (migration 0002) decides which status may follow which."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from merchants.models import Environment, Merchant
from orders.models import Order


class PaymentStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PROCESSING = "processing", _("Processing")
    AUTHORIZED = "authorized", _("Authorized")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


OPEN_STATUSES = (PaymentStatus.PENDING, PaymentStatus.PROCESSING, PaymentStatus.AUTHORIZED)


class CaptureMethod(models.TextChoices):
    AUTOMATIC = "automatic", _("Automatic")
    MANUAL = "manual", _("Manual")


class RefundStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PROCESSING = "processing", _("Processing")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


OPEN_REFUND_STATUSES = (RefundStatus.PENDING, RefundStatus.PROCESSING)

# How often an expired payment is cancelled at a channel that refuses, before it needs review.
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
        help_text=_("What the channel knows the current attempt by."),
    )
    channel_trade_no = models.CharField(max_length=255, blank=True)
    payment_url = models.CharField(max_length=2000, blank=True)
    captured_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    refund_pending_minor = models.BigIntegerField(default=0)
    disputed_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("In open and lost disputes: it cannot be refunded.")
    )
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)

    needs_attention = models.BooleanField(
        default=False, help_text=_("A review is open. A trigger keeps it in step with payment_reviews.")
    )
    attention_reason = models.TextField(blank=True)
    next_check_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the channel is asked next.")
    )
    check_count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()
    expiry_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_expiry_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When the next cancellation may begin after the channel refused one."),
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
                    captured_minor__gte=F("refunded_minor") + F("refund_pending_minor"),
                    amount_minor__gte=F("captured_minor"),
                    amount_minor__gt=0,
                ),
            ),
            models.CheckConstraint(name="payment_disputed_not_negative", condition=Q(disputed_minor__gte=0)),
            models.CheckConstraint(
                name="payment_succeeded_is_captured",
                condition=~Q(status=PaymentStatus.SUCCEEDED) | Q(captured_minor__gt=0),
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
            models.Index(name="payment_by_amount", fields=["currency", "amount_minor"]),
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
        ]

    def __str__(self) -> str:
        return self.payment_no

    @property
    def unrefunded_minor(self) -> int:
        """What was captured and neither went back nor is on its way back."""
        return self.captured_minor - self.refunded_minor - self.refund_pending_minor

    @property
    def refundable_minor(self) -> int:
        """What may be refunded now: disputed money is not ours to give back."""
        return max(0, self.unrefunded_minor - self.disputed_minor)

    @property
    def refund_status(self) -> str:
        if self.refunded_minor == 0:
            return "none"
        return "full" if self.refunded_minor >= self.captured_minor else "partial"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def reference(self) -> str:
        """What the channel knows it by. Rows of the release before attempts had references have none."""
        return self.channel_reference or self.payment_no


def attempt_reference(payment_no: str, number: int) -> str:
    """What a channel knows an attempt by: the payment number, with the attempt's number from the second on."""
    return payment_no if number == 1 else f"{payment_no}-{number}"


class PaymentAttempt(models.Model):
    """One try to have a payment made at one channel. The last one is the payment's own; what an earlier one still
    takes is surplus: second money for the same order, kept apart from the payment's."""

    class Status(models.TextChoices):
        CALLING = "calling", _("Calling")
        OPEN = "open", _("Open")
        SUCCEEDED = "succeeded", _("Succeeded")
        DECLINED = "declined", _("Declined")
        CANCELLED = "cancelled", _("Cancelled")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveSmallIntegerField(default=1)
    reference = models.CharField(
        max_length=64, blank=True, db_default="", help_text=_("What the channel knows it by.")
    )
    channel = models.CharField(max_length=30)
    sandbox = models.BooleanField(default=False, db_default=False)
    status = models.CharField(max_length=20, choices=Status, default=Status.CALLING)
    channel_trade_no = models.CharField(max_length=255, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)
    surplus_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("Taken besides the payment's own money.")
    )
    surplus_pending_minor = models.BigIntegerField(default=0, db_default=0)
    surplus_refunded_minor = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    opened_by = models.UUIDField(
        null=True,
        blank=True,
        help_text=_("The saga that tried a closed payment again; empty: the first one."),
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
                name="payment_attempt_surplus_adds_up",
                condition=Q(
                    surplus_refunded_minor__gte=0,
                    surplus_pending_minor__gte=0,
                    surplus_minor__gte=F("surplus_refunded_minor") + F("surplus_pending_minor"),
                ),
            ),
        ]
        indexes = [
            models.Index(
                name="payment_attempt_surplus", fields=["created_at"], condition=Q(surplus_minor__gt=0)
            ),
            models.Index(name="payment_attempt_by_channel", fields=["channel", "created_at"]),
            models.Index(
                name="payment_attempt_by_saga", fields=["opened_by"], condition=Q(opened_by__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.number}"

    @property
    def surplus_left_minor(self) -> int:
        return self.surplus_minor - self.surplus_refunded_minor - self.surplus_pending_minor


class RefundOrigin(models.TextChoices):
    MERCHANT = "merchant", _("Merchant")
    STAFF = "staff", _("Staff")
    AUTOMATIC = "automatic", _("Automatic: late or duplicate payment")
    CHANNEL = "channel", _("Made at the channel")


class Refund(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    refund_no = models.CharField(max_length=40, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    surplus_of = models.ForeignKey(
        PaymentAttempt,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Gives back what this attempt took besides the payment's own money."),
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
        max_length=30, blank=True, db_default="", help_text=_("Who makes it: the numbers below are its own.")
    )
    channel_refund_no = models.CharField(max_length=255, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.TextField(blank=True)
    contradicted_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the channel reported another outcome than the settled one.")
    )
    previous_status = models.CharField(
        max_length=20, blank=True, db_default="", help_text=_("The outcome before that.")
    )
    late_refunded_minor = models.BigIntegerField(
        default=0, db_default=0, help_text=_("Of a failed refund: what went back after all.")
    )
    next_check_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the channel is asked next.")
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
                fields=["channel", "channel_refund_no"],
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
            models.Index(name="refund_by_amount", fields=["currency", "amount_minor"]),
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
                name="refund_of_surplus", fields=["surplus_of"], condition=Q(surplus_of__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.refund_no


class ReviewCode(models.TextChoices):
    """Why a payment needs review."""

    MISMATCH = "mismatch", _("The channel's facts differ from ours")
    LATE_PAYMENT = "late_payment", _("Paid after it was closed")
    DUPLICATE_PAYMENT = "duplicate_payment", _("Paid twice")
    HELD_FUNDS = "held_funds", _("The channel holds money for a closed payment")
    REFUND_FAILED = "refund_failed", _("An automatic refund failed")
    REFUND_OUTCOME = "refund_outcome", _("A refund went back although it had failed")
    CHANNEL_REFUND = "channel_refund", _("A refund at the channel exceeds what can be refunded")
    DISPUTE = "dispute", _("Disputed by the customer")
    CANCEL_REFUSED = "cancel_refused", _("The channel refuses to end an expired payment")
    NO_OUTCOME = "no_outcome", _("The channel reports no outcome")


class PaymentReview(models.Model):
    """One reason why a person has to look at a payment. Several can be open, each is resolved by itself; a trigger
    keeps `payments.needs_attention` and `attention_reason` in step with the open ones."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.CASCADE, related_name="reviews", db_index=False)
    code = models.CharField(max_length=30, choices=ReviewCode)
    subject = models.CharField(
        max_length=255, blank=True, help_text=_("What it is about besides the payment: a refund, a dispute.")
    )
    text = models.TextField()
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
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} {self.subject}".strip()


class DisputeStatus(models.TextChoices):
    NEEDS_RESPONSE = "needs_response", _("Needs a response")
    UNDER_REVIEW = "under_review", _("Under review at the bank")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")
    CLOSED = "closed", _("Closed without a decision")


CLOSED_DISPUTE_STATUSES = (DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.CLOSED)


class Dispute(models.Model):
    """A customer takes money back through their bank. It is fought at the channel; here it blocks refunds."""

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
    channel_dispute_no = models.CharField(max_length=255)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=100)
    status = models.CharField(max_length=20, choices=DisputeStatus)
    is_inquiry = models.BooleanField(
        default=False, help_text=_("The bank only asks: no money was taken, and a refund answers it.")
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
            models.UniqueConstraint(name="dispute_once", fields=["channel", "channel_dispute_no"]),
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
    def blocked_minor(self) -> int:
        """What it keeps from being refunded: the bank has taken it, for good or for the time being."""
        takes = self.status == DisputeStatus.LOST or (self.is_open and not self.is_inquiry)
        return self.amount_minor if takes and self.attempt_id is None else 0


class ChannelEvent(models.Model):
    """A verified webhook, stored in the transaction of its effect: one effect per event id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.CharField(max_length=30)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    reference = models.CharField(max_length=64, blank=True)
    effect = models.CharField(max_length=50)
    payload = models.JSONField(default=dict)
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "channel_events"
        verbose_name = _("channel event")
        verbose_name_plural = _("channel events")
        constraints = [models.UniqueConstraint(name="channel_event_once", fields=["channel", "event_id"])]
        indexes = [
            models.Index(name="channel_event_by_reference", fields=["reference", "received_at"]),
            models.Index(
                name="channel_event_unknown",
                fields=["received_at"],
                condition=Q(effect="unknown_reference"),
            ),
            models.Index(name="channel_event_oldest", fields=["received_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class RoutingRule(models.Model):
    """Where a payment goes that names no channel. Among the matching rules of the highest priority the weights decide;
    the others, and lower priorities, are where it may go on when a channel declines it for reasons of its own."""

    environment = models.CharField(max_length=10, choices=Environment)
    priority = models.IntegerField(default=0, help_text=_("The highest that matches is taken."))
    weight = models.PositiveIntegerField(
        default=1, help_text=_("The share among the matching rules of the same priority.")
    )
    channel = models.CharField(max_length=30)
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: every merchant."),
    )
    currency = models.CharField(max_length=3, blank=True, help_text=_("Empty: every currency."))
    min_amount_minor = models.BigIntegerField(null=True, blank=True)
    max_amount_minor = models.BigIntegerField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "routing_rules"
        verbose_name = _("routing rule")
        verbose_name_plural = _("routing rules")
        constraints = [
            models.CheckConstraint(
                name="routing_rule_environment_known", condition=Q(environment__in=Environment.values)
            ),
            models.CheckConstraint(
                name="routing_rule_weight",
                condition=Q(weight__gte=1, weight__lte=1_000_000),
                violation_error_message=_("The weight is at least 1."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_need_a_currency",
                condition=~Q(currency="") | Q(min_amount_minor__isnull=True, max_amount_minor__isnull=True),
                violation_error_message=_("An amount says nothing without a currency."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_in_order",
                condition=Q(min_amount_minor__isnull=True)
                | Q(max_amount_minor__isnull=True)
                | Q(min_amount_minor__lte=F("max_amount_minor")),
                violation_error_message=_("The smallest amount is above the largest."),
            ),
        ]
        indexes = [
            models.Index(
                name="routing_rule_matching",
                fields=["environment", "-priority"],
                condition=Q(is_active=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.priority} {self.channel}"

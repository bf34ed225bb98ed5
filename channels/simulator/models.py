"""The bank's tables. No foreign key leads from here to a table of the platform, or from there to here."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channels.base import ChannelDisputeStage, DisputeState, PaymentState, RefundState


class SimulatedPayment(models.Model):
    """One payment as the bank knows it. Amounts are in minor units.

    A row without `create_key` is a tombstone: the platform cancelled a payment that the bank did not know. It refuses
    that payment's creation when the call arrives late.
    """

    reference = models.CharField(
        primary_key=True, max_length=100, help_text=_("The platform's payment number.")
    )
    channel_trade_no = models.CharField(unique=True, max_length=40)
    token = models.CharField(unique=True, max_length=64, help_text=_("Opens the payment page."))
    create_key = models.CharField(unique=True, max_length=255, null=True)
    environment = models.CharField(max_length=10)
    merchant_id = models.CharField(max_length=36, blank=True, default="", db_default="")
    order_no = models.CharField(max_length=64, blank=True, default="", db_default="")
    payment_method = models.CharField(max_length=50, blank=True)
    state = models.CharField(max_length=20, default=PaymentState.OPEN.value)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    captured = models.BigIntegerField(default=0)
    refunded = models.BigIntegerField(default=0)
    refund_pending = models.BigIntegerField(default=0)
    manual_capture = models.BooleanField(default=False)
    subject = models.TextField()
    description = models.TextField(blank=True)
    return_url = models.TextField(blank=True)
    simulate = models.TextField(blank=True, help_text=_("The faults it was created with."))
    failure_code = models.CharField(max_length=50, blank=True)
    failure_message = models.TextField(blank=True)
    expires_at = models.DateTimeField()
    settles_at = models.DateTimeField(
        null=True, help_text=_("When a payment in processing is decided, or an authorization lapses.")
    )
    complete_before = models.DateTimeField(
        null=True, help_text=_("Until when an approved payment must be completed.")
    )
    complete_key = models.CharField(unique=True, max_length=255, null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_payments"
        verbose_name = _("simulated payment")
        verbose_name_plural = _("simulated payments")
        constraints = [
            models.CheckConstraint(
                name="simulator_payment_state_known",
                condition=models.Q(state__in=[state.value for state in PaymentState]),
            ),
            models.CheckConstraint(
                name="simulator_payment_limits",
                condition=models.Q(
                    refunded__gte=0,
                    refund_pending__gte=0,
                    captured__gte=models.F("refunded") + models.F("refund_pending"),
                    amount__gte=models.F("captured"),
                ),
            ),
            models.CheckConstraint(
                name="simulator_payment_settles_only_when_undecided",
                condition=models.Q(settles_at__isnull=True)
                | models.Q(state__in=[PaymentState.PROCESSING.value, PaymentState.AUTHORIZED.value]),
            ),
        ]
        indexes = [
            models.Index(
                name="simulator_payment_to_settle",
                fields=["settles_at"],
                condition=models.Q(settles_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class SimulatedRefund(models.Model):
    reference = models.CharField(
        primary_key=True, max_length=100, help_text=_("The platform's refund number.")
    )
    channel_refund_no = models.CharField(unique=True, max_length=40)
    create_key = models.CharField(unique=True, max_length=255)
    payment = models.ForeignKey(SimulatedPayment, on_delete=models.PROTECT, related_name="refunds")
    state = models.CharField(max_length=20)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.TextField(blank=True)
    failure_code = models.CharField(max_length=50, blank=True)
    failure_message = models.TextField(blank=True)
    settles_at = models.DateTimeField(null=True, help_text=_("When a pending refund is decided."))
    settles_as = models.CharField(max_length=20, blank=True)
    is_own = models.BooleanField(
        default=False, db_default=False, help_text=_("Made at the bank: the platform has no number for it.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_refunds"
        verbose_name = _("simulated refund")
        verbose_name_plural = _("simulated refunds")
        constraints = [
            models.CheckConstraint(
                name="simulator_refund_state_known",
                condition=models.Q(state__in=[state.value for state in RefundState]),
            ),
            models.CheckConstraint(name="simulator_refund_amount", condition=models.Q(amount__gt=0)),
        ]
        indexes = [
            models.Index(
                name="simulator_refund_to_settle",
                fields=["settles_at"],
                condition=models.Q(settles_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class SimulatedDispute(models.Model):
    """The customer's bank has taken `amount` back, unless the stage is an inquiry or the dispute is won or closed."""

    channel_dispute_no = models.CharField(primary_key=True, max_length=40)
    payment = models.ForeignKey(SimulatedPayment, on_delete=models.PROTECT, related_name="disputes")
    stage = models.CharField(max_length=20)
    state = models.CharField(max_length=20)
    reason = models.CharField(max_length=30)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    evidence_due_by = models.DateTimeField()
    answer_key = models.CharField(unique=True, max_length=255, null=True)
    submission_count = models.SmallIntegerField(default=0)
    evidence = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_disputes"
        verbose_name = _("simulated dispute")
        verbose_name_plural = _("simulated disputes")
        constraints = [
            models.CheckConstraint(
                name="simulator_dispute_known",
                condition=models.Q(
                    state__in=[state.value for state in DisputeState],
                    stage__in=[stage.value for stage in ChannelDisputeStage],
                ),
            ),
            models.CheckConstraint(name="simulator_dispute_amount", condition=models.Q(amount__gt=0)),
        ]
        indexes = [
            models.Index(
                name="simulator_dispute_due",
                fields=["evidence_due_by"],
                condition=models.Q(state=DisputeState.NEEDS_RESPONSE.value),
            ),
        ]

    def __str__(self) -> str:
        return self.channel_dispute_no


class SimulatedEvidenceFile(models.Model):
    """A file that the platform has uploaded. Its content is not kept."""

    channel_file_no = models.CharField(primary_key=True, max_length=40)
    upload_key = models.CharField(unique=True, max_length=255)
    dispute = models.ForeignKey(SimulatedDispute, on_delete=models.PROTECT, related_name="files")
    name = models.CharField(max_length=255)
    size_bytes = models.IntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_evidence_files"
        verbose_name = _("simulated evidence file")
        verbose_name_plural = _("simulated evidence files")

    def __str__(self) -> str:
        return self.name


class LedgerKind(models.TextChoices):
    CHARGE = "charge", _("Charge")
    AUTHORIZE = "authorize", _("Authorization")
    CAPTURE = "capture", _("Capture")
    VOID = "void", _("Release")
    REFUND = "refund", _("Refund")
    REFUND_RETURN = "refund_return", _("Returned refund")


class LedgerEntry(models.Model):
    """One movement of money: authorized, charged, released or refunded. The database refuses updates and deletes.

    The unique constraints make it impossible to use one key twice or to charge one payment twice. A trigger (migration
    0002) refuses to capture and release more than was authorized.
    """

    id = models.BigAutoField(primary_key=True)
    reference = models.CharField(max_length=100, help_text=_("The platform's payment number."))
    refund_reference = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=20, choices=LedgerKind)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    key = models.CharField(max_length=255)
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_ledger"
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = [
            models.UniqueConstraint(name="simulator_ledger_once_per_key", fields=["kind", "key"]),
            models.UniqueConstraint(
                name="simulator_ledger_once_per_payment",
                fields=["reference", "kind"],
                condition=models.Q(kind__in=["charge", "void"]),
            ),
            models.CheckConstraint(name="simulator_ledger_amount", condition=models.Q(amount__gt=0)),
        ]
        indexes = [models.Index(name="simulator_ledger_by_reference", fields=["reference"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


class CallCount(models.Model):
    """How often an operation was called for a payment or refund (`key`). Counted where a fault hits the first calls.

    Where `operation` ends in `:kept`, `key` is an idempotency key that keeps an error.
    """

    id = models.BigAutoField(primary_key=True)
    operation = models.CharField(max_length=20)
    key = models.CharField(max_length=255)
    calls = models.IntegerField()

    class Meta:
        db_table = "simulator_calls"
        verbose_name = _("call count")
        verbose_name_plural = _("call counts")
        constraints = [models.UniqueConstraint(name="simulator_call_once", fields=["operation", "key"])]

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"


class Notification(models.Model):
    """A webhook to be sent. `due_at` is empty when nothing is left to send."""

    event_id = models.CharField(primary_key=True, max_length=40)
    event_type = models.CharField(max_length=40)
    reference = models.CharField(max_length=100)
    payload = models.JSONField()
    deliveries_left = models.SmallIntegerField(default=1, help_text=_("More than one: it is sent again."))
    due_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    last_error = models.TextField(blank=True)
    delivered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "simulator_notifications"
        verbose_name = _("simulator webhook")
        verbose_name_plural = _("simulator webhooks")
        indexes = [
            models.Index(
                name="simulator_notification_due",
                fields=["due_at"],
                condition=models.Q(due_at__isnull=False),
            ),
            models.Index(name="simulator_notification_of", fields=["reference"]),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.reference}"

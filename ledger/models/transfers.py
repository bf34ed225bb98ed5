"""Accounts, transfers and entries. They are append-only, and triggers (migration 0002) refuse a transfer whose debits
and credits differ."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from ledger.chart import LedgerAccountKind
from merchants.models import Environment, Merchant


class TransferEvent(models.TextChoices):
    """The event that a transfer posts. Stored for ever, so a name never changes."""

    PAYMENT_CAPTURED = "payment.captured", _("Payment captured")
    PAYMENT_LATE = "payment.late", _("Late payment")
    PAYMENT_DUPLICATE = "payment.duplicate", _("Duplicate payment")
    REFUND_REQUESTED = "refund.requested", _("Refund requested")
    REFUND_SUCCEEDED = "refund.succeeded", _("Refund succeeded")
    REFUND_FAILED = "refund.failed", _("Refund failed")
    REFUND_REVERSED = "refund.reversed", _("Refund returned by the bank")
    DISPUTE_WITHDRAWN = "dispute.withdrawn", _("Dispute withdrew money")
    DISPUTE_REINSTATED = "dispute.reinstated", _("Dispute gave money back")
    CHANNEL_FEE = "channel.fee", _("Channel fee")
    CHANNEL_PAYOUT = "channel.payout", _("Channel payout")
    STATEMENT_CORRECTED = "statement.corrected", _("Difference to a statement")
    STATEMENT_VOIDED = "statement.voided", _("Reversed: the statement was voided")
    DISPUTE_REBOOKED = "dispute.rebooked", _("Disputed money left suspense, or came to it")
    SUSPENSE_ADDED = "suspense.added", _("Refund beyond the payment: in suspense")
    SUSPENSE_RELEASED = "suspense.released", _("Released from suspense")
    SUSPENSE_CHARGED = "suspense.charged", _("Charged to the merchant")
    SUSPENSE_RETURNED = "suspense.returned", _("Charged to the merchant, and returned by the bank")
    REFUND_COMPLETED = "refund.completed", _("Rest of a refund booked")
    PAYOUT_REQUESTED = "payout.requested", _("Payout requested")
    PAYOUT_POSTED = "payout.posted", _("Payout sent")
    PAYOUT_CANCELED = "payout.canceled", _("Payout canceled")
    PAYOUT_RETURNED = "payout.returned", _("Payout returned")


class TransferKind(models.TextChoices):
    """The kinds that TigerBeetle has: a pending transfer is settled by another transfer, which posts or voids it."""

    SINGLE = "single", _("Single")
    PENDING = "pending", pgettext_lazy("ledger", "Pending")
    POST = "post", _("Posts a pending transfer")
    VOID = "void", _("Voids a pending transfer")


# The kinds that change posted balances.
BALANCE_KINDS = (TransferKind.SINGLE, TransferKind.POST)


class EntryPhase(models.TextChoices):
    PENDING = "pending", pgettext_lazy("ledger", "Pending")
    POSTED = "posted", _("Posted")


class EntryDirection(models.TextChoices):
    DEBIT = "debit", _("Debit")
    CREDIT = "credit", _("Credit")


class LedgerAccount(models.Model):
    """The id derives from the other columns (`ledger.chart`). It has no balance: see `DailyBalance`."""

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=30, choices=LedgerAccountKind)
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: the platform."),
    )
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: the platform's own account."),
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "ledger_accounts"
        verbose_name = _("ledger account")
        verbose_name_plural = _("ledger accounts")
        constraints = [
            models.UniqueConstraint(
                name="ledger_account_once",
                fields=["merchant", "environment", "kind", "currency", "channel", "channel_account"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="ledger_account_kind_known", condition=Q(kind__in=LedgerAccountKind.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.channel} {self.currency}"


class LedgerTransfer(models.Model):
    """The money that one event moved between accounts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.CharField(max_length=30, choices=TransferEvent)
    subject_id = models.UUIDField(
        help_text=_("The payment, attempt, refund, dispute, statement line or case that the event is about.")
    )
    sequence = models.BigIntegerField(
        default=0,
        help_text=_(
            "Tells apart the events of one kind: the amount captured so far, or how often it has happened."
        ),
    )
    kind = models.CharField(max_length=10, choices=TransferKind)
    pending = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="settled_by",
        help_text=_("The pending transfer that this one posts or voids."),
    )
    leg_count = models.PositiveSmallIntegerField(help_text=_("How many entries it has."))
    environment = models.CharField(max_length=10, choices=Environment)
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: the platform."),
    )
    currency = models.CharField(max_length=3)
    payment_id = models.UUIDField(
        null=True, blank=True, help_text=_("Empty: the event is about no single payment.")
    )
    source = models.CharField(
        max_length=64,
        help_text=_("Number of the payment, attempt, refund or dispute, or the channel's own number."),
    )
    fee_basis = models.JSONField(
        null=True,
        blank=True,
        help_text=_("The version of the fee plan and all inputs of the fee (docs/FEES.md)."),
    )
    is_opening = models.BooleanField(
        default=False, help_text=_("Posted by open_ledger for an event from before the ledger.")
    )
    day = models.DateField(help_text=_("The day in UTC to which it counts."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "ledger_transfers"
        verbose_name = _("ledger transfer")
        verbose_name_plural = _("ledger transfers")
        constraints = [
            models.UniqueConstraint(name="ledger_event_once", fields=["subject_id", "event", "sequence"]),
            models.CheckConstraint(
                name="ledger_transfer_event_known", condition=Q(event__in=TransferEvent.values)
            ),
            models.CheckConstraint(
                name="ledger_transfer_kind_known",
                condition=Q(kind__in=["single", "pending"], pending=None)
                | Q(kind__in=["post", "void"], pending__isnull=False),
            ),
            models.CheckConstraint(name="ledger_transfer_has_legs", condition=Q(leg_count__gte=2)),
        ]
        indexes = [
            models.Index(name="ledger_transfer_by_payment", fields=["payment_id"]),
            models.Index(
                name="ledger_transfer_by_merchant",
                fields=["merchant", "environment", "event", "-created_at", "-id"],
                condition=Q(kind__in=["single", "post"]),
            ),
            BrinIndex(name="ledger_transfer_by_day", fields=["day"]),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.source}"


class TransferEntry(models.Model):
    """One leg of a transfer."""

    id = models.BigAutoField(primary_key=True)
    transfer = models.ForeignKey(
        LedgerTransfer, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    leg = models.PositiveSmallIntegerField()
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="+", db_index=False)
    phase = models.CharField(max_length=10, choices=EntryPhase)
    direction = models.CharField(max_length=10, choices=EntryDirection)
    amount_minor = models.BigIntegerField()

    class Meta:
        db_table = "ledger_entries"
        verbose_name = _("transfer entry")
        verbose_name_plural = _("transfer entries")
        constraints = [
            models.UniqueConstraint(name="ledger_leg_once", fields=["transfer", "leg"]),
            models.CheckConstraint(
                name="ledger_entry_valid",
                condition=Q(
                    amount_minor__gt=0, phase__in=["pending", "posted"], direction__in=["debit", "credit"]
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id} {self.leg}"

"""Payout runs, their payouts, and the file that instructs the bank to pay."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from common.terminal import TERMINAL
from merchants.models import Environment, Merchant
from payouts.models.bank_accounts import BankAccount


class PayoutRunStatus(models.TextChoices):
    AWAITING_APPROVAL = "awaiting_approval", _("Awaiting approval")
    APPROVED = "approved", _("Approved")
    SENT = "sent", _("Exported")
    CANCELED = "canceled", _("Canceled")


class PayoutStatus(models.TextChoices):
    """Stripe's statuses, and `returned`."""

    PENDING = "pending", _("Pending")
    IN_TRANSIT = "in_transit", _("In transit")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Failed")
    RETURNED = "returned", _("Returned")
    CANCELED = "canceled", _("Canceled")


class PayoutRun(models.Model):
    """The payouts of one currency that are approved and exported together. Its saga has its id.

    A run of the schedule has no requester until a person has adopted it; a second person approves it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run_no = models.CharField(max_length=40, unique=True)
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    status = models.CharField(
        max_length=20, choices=PayoutRunStatus, default=PayoutRunStatus.AWAITING_APPROVAL
    )
    requested_by = models.CharField(max_length=150, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    failure_code = models.CharField(max_length=50, blank=True)
    failure_message = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "payout_runs"
        verbose_name = _("payout run")
        verbose_name_plural = _("payout runs")
        constraints = [
            models.CheckConstraint(
                name="payout_run_status_known", condition=Q(status__in=PayoutRunStatus.values)
            ),
            models.CheckConstraint(
                name="payout_run_by_a_second_person",
                condition=~Q(status__in=["approved", "sent"])
                | (
                    ~Q(decided_by="")
                    & ~Q(requested_by="")
                    & ~Q(decided_by=F("requested_by"))
                    & ~Q(decided_by__startswith=TERMINAL)
                    & ~Q(requested_by__startswith=TERMINAL)
                ),
            ),
        ]
        indexes = [
            models.Index(
                name="payout_run_open",
                fields=["created_at"],
                condition=Q(status__in=["awaiting_approval", "approved"]),
            )
        ]

    def __str__(self) -> str:
        return self.run_no


class Payout(models.Model):
    """Money of one merchant on its way to its bank account. Amount, merchant and account never change, and a status
    never goes back (trigger, migration 0002)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payout_no = models.CharField(max_length=40, unique=True)
    run = models.ForeignKey(PayoutRun, on_delete=models.PROTECT, related_name="payouts", db_index=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    payable_minor = models.BigIntegerField(help_text=_("What was payable when the amount was frozen."))
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=20, choices=PayoutStatus, default=PayoutStatus.PENDING)
    failure_code = models.CharField(max_length=50, blank=True)
    failure_message = models.TextField(blank=True)
    return_fee_minor = models.BigIntegerField(
        default=0, help_text=_("What the bank kept of a returned payout.")
    )
    claimed_outcome = models.JSONField(
        null=True, blank=True, help_text=_("A failure or return that one person has recorded.")
    )
    claimed_by = models.CharField(max_length=150, blank=True, db_default="")
    confirmed_by = models.CharField(max_length=150, blank=True, db_default="")
    bank_reference = models.CharField(max_length=100, blank=True)
    arrival_date = models.DateField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the bank's answer was recorded.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "payouts"
        verbose_name = _("payout")
        verbose_name_plural = _("payouts")
        constraints = [
            models.UniqueConstraint(name="payout_once_in_a_run", fields=["run", "merchant"]),
            models.CheckConstraint(name="payout_status_known", condition=Q(status__in=PayoutStatus.values)),
            models.CheckConstraint(
                name="payout_within_payable",
                condition=Q(amount_minor__gt=0, amount_minor__lte=F("payable_minor")),
            ),
            models.CheckConstraint(
                name="payout_return_fee_valid",
                condition=Q(return_fee_minor__gte=0, return_fee_minor__lt=F("amount_minor")),
            ),
            models.CheckConstraint(
                name="payout_given_back_by_two_people",
                condition=~Q(status__in=["failed", "returned"])
                | (
                    ~Q(claimed_by="")
                    & ~Q(confirmed_by="")
                    & ~Q(confirmed_by=F("claimed_by"))
                    & ~Q(claimed_by__startswith=TERMINAL)
                    & ~Q(confirmed_by__startswith=TERMINAL)
                ),
            ),
            models.CheckConstraint(
                name="payout_sent_once_out",
                condition=Q(status__in=["pending", "canceled"], sent_at=None)
                | Q(status__in=["in_transit", "paid", "failed", "returned"], sent_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="payout_of_merchant", fields=["merchant", "environment", "-created_at", "-id"]),
            models.Index(name="payout_in_transit", fields=["sent_at"], condition=Q(status="in_transit")),
            models.Index(
                name="payout_claimed",
                fields=["updated_at"],
                condition=~Q(claimed_by="") & Q(confirmed_by="", status__in=["in_transit", "paid"]),
            ),
        ]

    def __str__(self) -> str:
        return self.payout_no


class PayoutFile(models.Model):
    """The export of a run. There is one for a run, for ever; it is named by the hash of its content."""

    run = models.OneToOneField(
        PayoutRun, on_delete=models.PROTECT, primary_key=True, related_name="file", db_index=False
    )
    sha256 = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    media_type = models.CharField(max_length=50)
    sealed_content = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "payout_files"
        verbose_name = _("payout file")
        verbose_name_plural = _("payout files")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

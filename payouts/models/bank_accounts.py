"""Bank accounts of merchants. A change is a new row, which a second person approves."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from common.terminal import TERMINAL
from merchants.models import Environment, Merchant


class BankAccountKind(models.TextChoices):
    IBAN = "iban", _("IBAN")
    CNAPS = "cnaps", _("Chinese account with CNAPS code")


class BankAccountStatus(models.TextChoices):
    AWAITING_APPROVAL = "awaiting_approval", _("Awaiting approval")
    ACTIVE = "active", _("Active")
    REPLACED = "replaced", _("Replaced")
    REJECTED = "rejected", _("Rejected")


class BankAccount(models.Model):
    """`usable_from` is when the cooling period ends: before it nothing is paid out to the account. Details never
    change (trigger, migration 0002)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    kind = models.CharField(max_length=10, choices=BankAccountKind)
    # Holder and numbers as JSON, encrypted (common/crypto.py).
    sealed_details = models.TextField()
    hint = models.CharField(max_length=40, help_text=_("Beginning and end of the number, to recognize it."))
    status = models.CharField(
        max_length=20, choices=BankAccountStatus, default=BankAccountStatus.AWAITING_APPROVAL
    )
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    usable_from = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "payout_bank_accounts"
        verbose_name = _("bank account")
        verbose_name_plural = _("bank accounts")
        constraints = [
            models.CheckConstraint(
                name="bank_account_known",
                condition=Q(status__in=BankAccountStatus.values, kind__in=BankAccountKind.values),
            ),
            models.CheckConstraint(
                name="bank_account_by_a_second_person",
                condition=~Q(status__in=["active", "replaced"])
                | (
                    ~Q(decided_by="")
                    & ~Q(decided_by=F("requested_by"))
                    & ~Q(decided_by__startswith=TERMINAL)
                    & Q(usable_from__isnull=False)
                ),
            ),
            models.UniqueConstraint(
                name="bank_account_one_active",
                fields=["merchant", "environment", "currency"],
                condition=Q(status="active"),
            ),
            models.UniqueConstraint(
                name="bank_account_one_awaiting",
                fields=["merchant", "environment", "currency"],
                condition=Q(status="awaiting_approval"),
            ),
        ]

    def __str__(self) -> str:
        return self.hint

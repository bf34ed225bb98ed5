"""Sums per account and day, and the record of each closed day."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from ledger.models.transfers import LedgerAccount, LedgerTransfer
from merchants.models import Environment


class RollupQueueItem(models.Model):
    """A transfer that no daily balance contains yet. It is inserted with the transfer, and deleted by the transaction
    that adds the transfer up."""

    transfer = models.OneToOneField(
        LedgerTransfer, on_delete=models.PROTECT, primary_key=True, related_name="+"
    )

    class Meta:
        db_table = "ledger_rollup_queue"


class DailyBalance(models.Model):
    """The amount that the entries of one day add to an account. An account's balance at the end of a day is the sum of
    its rows up to that day."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    posted_debit_minor = models.BigIntegerField(default=0)
    posted_credit_minor = models.BigIntegerField(default=0)
    pending_debit_minor = models.BigIntegerField(default=0)
    pending_credit_minor = models.BigIntegerField(default=0)
    entry_count = models.BigIntegerField(default=0)

    class Meta:
        db_table = "ledger_daily_balances"
        verbose_name = _("daily balance")
        verbose_name_plural = _("daily balances")
        constraints = [models.UniqueConstraint(name="ledger_daily_balance_once", fields=["account", "day"])]
        # For reports over all accounts.
        indexes = [models.Index(name="ledger_daily_balance_by_day", fields=["day"])]

    def __str__(self) -> str:
        return f"{self.account_id} {self.day}"


class DailyClose(models.Model):
    """The signed digest of all entries of one day, environment and currency. It contains the digest of the day before,
    so that a change of any closed day breaks the chain."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.DateField()
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    transfer_count = models.BigIntegerField()
    posted_minor = models.BigIntegerField(help_text=_("Sum of the posted debits; the credits are equal."))
    entries_digest = models.CharField(max_length=64, help_text=_("SHA-256 of the day's entries."))
    previous_digest = models.CharField(max_length=64, blank=True)
    chain_digest = models.CharField(
        max_length=64, help_text=_("SHA-256 of this row and of the previous digest.")
    )
    signature = models.CharField(max_length=64)
    key_id = models.CharField(max_length=16, help_text=_("Names the secret that signed it."))
    closed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "daily_closes"
        verbose_name = _("daily close")
        verbose_name_plural = _("daily closes")
        constraints = [
            models.UniqueConstraint(name="daily_close_once", fields=["environment", "currency", "day"]),
            models.CheckConstraint(
                name="daily_close_adds_up", condition=Q(transfer_count__gte=0, posted_minor__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.environment} {self.currency}"

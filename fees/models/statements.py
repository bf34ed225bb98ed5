"""A merchant's statement of one day or month."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from merchants.models import Environment, Merchant


class StatementPeriod(models.TextChoices):
    DAY = "day", _("Day")
    MONTH = "month", _("Month")


class MerchantStatement(models.Model):
    """The changes of a merchant's balance in one currency in one period that is over. It is made once, from the ledger,
    and never changes (migration 0002). Amounts are signed: negative when they left the balance."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    currency = models.CharField(max_length=3)
    period = models.CharField(_("period"), max_length=5, choices=StatementPeriod)
    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"))
    opening_minor = models.BigIntegerField(help_text=_("The closing balance of the statement before."))
    payments_minor = models.BigIntegerField()
    refunds_minor = models.BigIntegerField()
    disputes_minor = models.BigIntegerField()
    fees_minor = models.BigIntegerField()
    other_minor = models.BigIntegerField(help_text=_("Everything else, such as payouts."))
    closing_minor = models.BigIntegerField()
    transaction_count = models.BigIntegerField()
    csv_digest = models.CharField(max_length=64, help_text=_("SHA-256 of the CSV file."))
    close_digest = models.CharField(
        max_length=64, help_text=_("Chain digest of the daily close of the last day.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "merchant_statements"
        verbose_name = _("merchant statement")
        verbose_name_plural = _("merchant statements")
        constraints = [
            models.UniqueConstraint(
                name="merchant_statement_once",
                fields=["merchant", "environment", "currency", "period", "first_day"],
            ),
            models.CheckConstraint(
                name="merchant_statement_adds_up",
                condition=Q(
                    closing_minor=F("opening_minor")
                    + F("payments_minor")
                    + F("refunds_minor")
                    + F("disputes_minor")
                    + F("fees_minor")
                    + F("other_minor")
                ),
            ),
            models.CheckConstraint(
                name="merchant_statement_period",
                condition=Q(period="day", last_day=F("first_day"))
                | Q(period="month", last_day__gt=F("first_day")),
            ),
        ]
        indexes = [
            models.Index(
                name="merchant_statement_list",
                fields=["merchant", "environment", "period", "-created_at", "-id"],
            ),
            models.Index(name="merchant_statement_by_chain", fields=["environment", "currency", "-last_day"]),
        ]

    def __str__(self) -> str:
        return f"{self.merchant} {self.first_day} {self.currency}"

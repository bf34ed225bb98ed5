"""Money that a statement must report: one row for each entry of the ledger on an account of kind channel_receivable."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from ledger.models import TransferEntry
from settlements.models.account_columns import ChannelAccountColumns
from settlements.models.cases import SettlementCase


class ExpectationState(models.TextChoices):
    OPEN = "open", _("Open")
    MET = "met", _("Met")
    IN_CASE = "in_case", _("In a case")


class StatementExpectation(ChannelAccountColumns):
    """`amount_minor` is what the account gains: negative for a refund."""

    entry = models.OneToOneField(TransferEntry, on_delete=models.PROTECT, primary_key=True, related_name="+")
    kind = models.CharField(_("kind"), max_length=20)
    currency = models.CharField(_("currency"), max_length=3)
    amount_minor = models.BigIntegerField()
    reference = models.CharField(_("reference"), max_length=255, blank=True)
    channel_no = models.CharField(_("channel's number"), max_length=255, blank=True)
    occurred_at = models.DateTimeField(_("occurred at"), help_text=_("When we learned of it."))
    expected_by = models.DateTimeField(_("expected by"))
    state = models.CharField(
        _("state"), max_length=10, choices=ExpectationState, default=ExpectationState.OPEN
    )
    match = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("match"),
    )
    case = models.ForeignKey(
        SettlementCase,
        verbose_name=_("case"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="expectations",
        db_index=False,
    )

    class Meta:
        db_table = "statement_expectations"
        verbose_name = _("expectation")
        verbose_name_plural = _("expectations")
        constraints = [
            models.CheckConstraint(
                name="statement_expectation_met_or_in_case",
                condition=Q(state="open", match=None, case=None)
                | Q(state="met", match__isnull=False, case=None)
                | Q(state="in_case", match=None, case__isnull=False),
            ),
            models.CheckConstraint(name="statement_expectation_moves_money", condition=~Q(amount_minor=0)),
            models.CheckConstraint(
                name="statement_expectation_due_later", condition=Q(expected_by__gt=F("occurred_at"))
            ),
        ]
        indexes = [
            models.Index(name="expectation_by_reference", fields=["reference"]),
            models.Index(
                name="expectation_by_channel_no", fields=["channel_no"], condition=~Q(channel_no="")
            ),
            models.Index(name="expectation_by_match", fields=["match"], condition=Q(match__isnull=False)),
            models.Index(name="expectation_by_case", fields=["case"], condition=Q(case__isnull=False)),
            models.Index(name="expectation_open", fields=["expected_by"], condition=Q(state="open")),
            models.Index(
                name="expectation_by_time",
                fields=["channel", "environment", "channel_account", "occurred_at"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference or self.channel_no}"

"""Statement files and their lines. Triggers (migration 0002) keep both as they were imported."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from common.terminal import TERMINAL
from settlements.models.account_columns import ChannelAccountColumns
from settlements.models.cases import SettlementCase
from settlements.models.expectations import StatementExpectation


class StatementFormat(models.TextChoices):
    """Stored for ever, so a name never changes."""

    STRIPE = "stripe", _("Stripe balance transactions")
    WECHAT_TRADES = "wechat_trades", _("WeChat Pay trade bill")
    WECHAT_FUNDS = "wechat_funds", _("WeChat Pay fund flow bill")
    ALIPAY_TRADES = "alipay_trades", _("Alipay statement of trades")
    CSV = "csv", _("CSV of this platform")


class FileState(models.TextChoices):
    IMPORTED = "imported", _("Imported")
    MATCHED = "matched", _("Matched")
    POSTED = "posted", _("Posted to the ledger")
    VOIDED = "voided", _("Voided")


class LineKind(models.TextChoices):
    """`payment` to `other` are compared with what we expect. A fee, a payout and a rounding are posted as reported."""

    PAYMENT = "payment", _("Payment")
    REFUND = "refund", _("Refund")
    REFUND_REVERSAL = "refund_reversal", _("Returned refund")
    DISPUTE = "dispute", _("Dispute")
    DISPUTE_REVERSAL = "dispute_reversal", _("Returned dispute")
    APPLICATION_FEE = "application_fee", _("Application fee")
    OTHER = "other", _("Other movement")
    FEE = "fee", _("Fee")
    PAYOUT = "payout", _("Channel payout")
    ROUNDING = "rounding", _("Rounding")


class LineState(models.TextChoices):
    NEW = "new", _("Not compared yet")
    MATCHED = "matched", _("Matched")
    IN_CASE = "in_case", _("In a case")
    VOIDED = "voided", _("Voided")


class StatementFile(ChannelAccountColumns):
    """One statement of one account and day. `totals` are those that the file itself states.

    One that two people have voided keeps its lines, and counts for nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    content_sha256 = models.CharField(
        max_length=64,
        help_text=_("SHA-256 of its lines. A file that is made again may differ in its head only."),
    )
    format = models.CharField(_("format"), max_length=20, choices=StatementFormat)
    day = models.DateField(_("day"), help_text=_("In the channel's time zone."))
    period_start = models.DateTimeField(_("from"))
    period_end = models.DateTimeField(_("until"))
    name = models.CharField(_("name"), max_length=255, blank=True)
    imported_by = models.CharField(
        _("imported by"), max_length=150, help_text=_("Empty: fetched from the channel."), blank=True
    )
    line_count = models.PositiveIntegerField(_("lines"))
    totals = models.JSONField(_("totals"), help_text=_("Sums in minor units, by currency."))
    state = models.CharField(_("state"), max_length=10, choices=FileState, default=FileState.IMPORTED)
    imported_at = models.DateTimeField(_("imported at"), db_default=Now(), editable=False)
    void_requested_by = models.CharField(_("void requested by"), max_length=150, blank=True, db_default="")
    void_reason = models.TextField(_("reason of the request to void it"), blank=True, db_default="")
    void_approved_by = models.CharField(_("void approved by"), max_length=150, blank=True, db_default="")
    voided_at = models.DateTimeField(_("voided at"), null=True, blank=True)

    class Meta:
        db_table = "statement_files"
        verbose_name = _("statement")
        verbose_name_plural = _("statements")
        constraints = [
            # A voided statement makes room for the right one, or for its own bytes at the right place.
            models.UniqueConstraint(
                name="statement_file_once_a_day",
                fields=["channel", "environment", "channel_account", "format", "day"],
                condition=~Q(state="voided"),
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                name="statement_file_bytes_once", fields=["sha256"], condition=~Q(state="voided")
            ),
            models.CheckConstraint(
                name="statement_file_voided_by_two",
                condition=Q(void_approved_by="")
                | (
                    ~Q(void_requested_by="")
                    & ~Q(void_approved_by=F("void_requested_by"))
                    & ~Q(void_requested_by__startswith=TERMINAL)
                    & ~Q(void_approved_by__startswith=TERMINAL)
                ),
            ),
            models.CheckConstraint(
                name="statement_file_voided_when_approved",
                condition=Q(state="voided", voided_at__isnull=False) & ~Q(void_approved_by="")
                | ~Q(state="voided") & Q(voided_at=None),
            ),
            models.CheckConstraint(
                name="statement_file_format_known", condition=Q(format__in=StatementFormat.values)
            ),
            models.CheckConstraint(
                name="statement_file_state_known", condition=Q(state__in=FileState.values)
            ),
            models.CheckConstraint(
                name="statement_file_has_period", condition=Q(period_start__lt=F("period_end"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.day}"


class StatementLine(models.Model):
    """One movement as the channel reports it. Amounts are what the account gains; a fee is what the channel keeps."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    file = models.ForeignKey(StatementFile, on_delete=models.PROTECT, related_name="lines", db_index=False)
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=20, choices=LineKind)
    gross_minor = models.BigIntegerField()
    fee_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField()
    currency = models.CharField(_("currency"), max_length=3)
    reference = models.CharField(
        _("reference"), max_length=255, blank=True, help_text=_("Our number at the channel.")
    )
    channel_no = models.CharField(_("channel's number"), max_length=255, blank=True)
    line_no = models.CharField(
        max_length=255, blank=True, help_text=_("The channel's number of this movement.")
    )
    payout_no = models.CharField(_("channel payout"), max_length=255, blank=True)
    occurred_at = models.DateTimeField(_("occurred at"))
    fee_rate_millionths = models.IntegerField(
        null=True, blank=True, help_text=_("The rate that the line itself states: 6,000 is 0.6%.")
    )
    raw = models.JSONField(_("as reported"))
    state = models.CharField(_("state"), max_length=10, choices=LineState, default=LineState.NEW)
    match = models.ForeignKey(
        StatementExpectation,
        verbose_name=_("match"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="lines",
        db_index=False,
        help_text=_("The first of the expectations that this line meets, alone or with others."),
    )
    case = models.ForeignKey(
        SettlementCase,
        verbose_name=_("case"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="lines",
        db_index=False,
    )
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "statement_lines"
        verbose_name = _("statement line")
        verbose_name_plural = _("statement lines")
        constraints = [
            models.UniqueConstraint(name="statement_line_once", fields=["file", "number"]),
            models.CheckConstraint(name="statement_line_kind_known", condition=Q(kind__in=LineKind.values)),
            models.CheckConstraint(
                name="statement_line_adds_up", condition=Q(net_minor=F("gross_minor") - F("fee_minor"))
            ),
            # Matched, or in exactly one case, or not compared yet.
            models.CheckConstraint(
                name="statement_line_matched_or_in_case",
                condition=Q(state__in=["new", "voided"], match=None, case=None)
                | Q(state="in_case", match=None, case__isnull=False)
                | Q(state="matched", match__isnull=False, case=None)
                | Q(state="matched", match=None, case=None, kind__in=["fee", "payout", "rounding"]),
            ),
        ]
        indexes = [
            models.Index(
                name="statement_line_to_post",
                fields=["file", "number"],
                condition=Q(state="matched", posted_at=None),
            ),
            models.Index(
                name="statement_line_as_reported",
                fields=["net_minor", "kind", "line_no"],
                condition=Q(kind__in=["fee", "payout", "rounding"]),
            ),
            models.Index(name="statement_line_by_line_no", fields=["line_no"], condition=~Q(line_no="")),
            models.Index(name="statement_line_by_payout", fields=["payout_no"], condition=~Q(payout_no="")),
            models.Index(name="statement_line_by_reference", fields=["reference"]),
            models.Index(name="statement_line_by_match", fields=["match"], condition=Q(match__isnull=False)),
            models.Index(name="statement_line_by_case", fields=["case"], condition=Q(case__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.reference or self.channel_no}"

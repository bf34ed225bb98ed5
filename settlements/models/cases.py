"""Differences that a person decides."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from settlements.models.account_columns import ChannelAccountColumns


class CaseKind(models.TextChoices):
    MISSING_LINE = "missing_line", _("Missing in the statement")
    UNKNOWN_LINE = "unknown_line", _("Unknown here")
    DUPLICATE_LINE = "duplicate_line", _("Reported more often than expected")
    AMOUNT_DIFFERS = "amount_differs", _("Another amount")
    CURRENCY_DIFFERS = "currency_differs", _("Another currency")
    FEE_DIFFERS = "fee_differs", _("Another fee than agreed")
    DAY_DIFFERS = "day_differs", _("Another day")
    PAYOUT_DIFFERS = "payout_differs", _("The payout differs from its lines")


class CaseState(models.TextChoices):
    OPEN = "open", _("Open")
    ASKED = "asked", _("Waiting for the channel")
    RESOLVED = "resolved", _("Resolved")


class CaseResolution(models.TextChoices):
    BOOKED = "booked", _("Booked as reported")
    WRITTEN_OFF = "written_off", _("Written off")
    ARRIVED = "arrived", _("The other side arrived later")
    DISMISSED = "dismissed", _("Dismissed: the money moved once")
    VOIDED = "voided", _("Its statement was voided")


class SettlementCase(ChannelAccountColumns):
    """Lines and expectations that do not agree. `expected_minor` is in `currency`, `reported_minor` in
    `reported_currency`.

    `detail` has the values of `settlements/case_details.py`, which formats them in the reader's language."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=CaseKind)
    reference = models.CharField(_("reference"), max_length=255, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    expected_minor = models.BigIntegerField()
    reported_minor = models.BigIntegerField()
    reported_currency = models.CharField(_("reported currency"), max_length=3)
    detail = models.JSONField(_("detail"), default=dict, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=CaseState, default=CaseState.OPEN)
    owner = models.CharField(_("owner"), max_length=150, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    write_off_requested_by = models.CharField(_("write-off requested by"), max_length=150, blank=True)
    resolution = models.CharField(_("resolution"), max_length=20, choices=CaseResolution, blank=True)
    resolved_by = models.CharField(_("resolved by"), max_length=150, blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    opened_at = models.DateTimeField(_("opened at"), db_default=Now(), editable=False)
    reversed_at = models.DateTimeField(
        _("reversed at"),
        null=True,
        blank=True,
        help_text=_(
            "Its statement was voided after the decision, and what the decision posted was reversed."
        ),
    )

    class Meta:
        db_table = "settlement_cases"
        verbose_name = _("settlement case")
        verbose_name_plural = _("settlement cases")
        constraints = [
            models.CheckConstraint(name="settlement_case_kind_known", condition=Q(kind__in=CaseKind.values)),
            models.CheckConstraint(
                name="settlement_case_resolved_once",
                condition=Q(state="resolved", resolved_at__isnull=False, resolution__in=CaseResolution.values)
                | Q(state__in=["open", "asked"], resolved_at=None, resolution=""),
            ),
            models.CheckConstraint(
                name="settlement_case_reversed_after_decision",
                condition=Q(reversed_at=None) | Q(state="resolved"),
            ),
            models.CheckConstraint(
                name="settlement_case_write_off_by_two",
                condition=~Q(resolution="written_off")
                | (
                    ~Q(write_off_requested_by="")
                    & ~Q(resolved_by=F("write_off_requested_by"))
                    & ~Q(resolved_by="")
                ),
            ),
        ]
        indexes = [
            models.Index(
                name="settlement_case_open", fields=["opened_at"], condition=Q(state__in=["open", "asked"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"

"""The comparison of one statement day: expected, reported and the difference."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from settlements.models.account_columns import ChannelAccountColumns


class SettlementDay(ChannelAccountColumns):
    """The day is that of the channel's time zone. A payment around midnight may be expected on one day and reported on
    the next one: the difference of both days together is then zero, and the payment is in no case."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(_("day"))
    currency = models.CharField(_("currency"), max_length=3)
    expected_minor = models.BigIntegerField(default=0)
    reported_minor = models.BigIntegerField(default=0)
    difference_minor = models.BigIntegerField(default=0)
    fee_minor = models.BigIntegerField(default=0)
    payout_minor = models.BigIntegerField(default=0)
    line_count = models.IntegerField(_("lines"), default=0)

    class Meta:
        db_table = "settlement_days"
        verbose_name = _("settlement day")
        verbose_name_plural = _("settlement days")
        constraints = [
            models.UniqueConstraint(
                name="settlement_day_once",
                fields=["channel", "environment", "channel_account", "day", "currency"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="settlement_day_adds_up",
                condition=models.Q(difference_minor=models.F("reported_minor") - models.F("expected_minor")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.day} {self.currency}"

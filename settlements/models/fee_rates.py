"""The fees that were agreed with a channel."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from settlements.models.account_columns import ChannelAccountColumns


class ChannelFeeRate(ChannelAccountColumns):
    """The fee that the channel may keep of one line: a part of the amount and a fixed amount. The newest rate that is
    valid on the day of the line counts; a kind of line without a rate is not checked."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=20)
    currency = models.CharField(_("currency"), max_length=3)
    rate_millionths = models.IntegerField(_("rate in millionths"), help_text=_("29,000 is 2.9%."))
    fixed_minor = models.BigIntegerField(_("fixed amount in minor units"), default=0)
    valid_from = models.DateField(_("valid from"))

    class Meta:
        db_table = "channel_fee_rates"
        verbose_name = _("agreed channel fee")
        verbose_name_plural = _("agreed channel fees")
        constraints = [
            models.UniqueConstraint(
                name="channel_fee_rate_once",
                fields=["channel", "environment", "channel_account", "kind", "currency", "valid_from"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="channel_fee_rate_valid", condition=Q(rate_millionths__gte=0, fixed_minor__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.kind} {self.currency}"

"""The columns that name one channel account, shared by the tables of settlements."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from merchants.models import Environment


class ChannelAccountColumns(models.Model):
    channel = models.CharField(_("channel"), max_length=30)
    environment = models.CharField(_("environment"), max_length=10, choices=Environment)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        verbose_name=_("channel account"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: the platform's own account."),
    )

    class Meta:
        abstract = True

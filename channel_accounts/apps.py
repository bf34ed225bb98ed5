from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChannelAccountsConfig(AppConfig):
    name = "channel_accounts"
    verbose_name = _("Channel accounts")

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class PayoutsConfig(AppConfig):
    name = "payouts"
    verbose_name = _("Payouts")

    def ready(self) -> None:
        # Importing the flow registers its definition with the engine.
        from payouts import flow  # noqa: F401
        from payouts.checks import check_debtor, check_own_accounts_only

        checks.register(check_own_accounts_only, checks.Tags.security)
        checks.register(check_debtor)

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class ApprovalsConfig(AppConfig):
    name = "backoffice.approvals"
    verbose_name = _("Approvals")

    def ready(self) -> None:
        from backoffice.approvals.checks import check_second_person_limits

        checks.register(check_second_person_limits, checks.Tags.security)

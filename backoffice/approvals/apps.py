from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class ApprovalsConfig(AppConfig):
    name = "backoffice.approvals"
    verbose_name = _("Approvals")

    def ready(self) -> None:
        from backoffice.approvals.checks import second_person_limits_make_sense

        checks.register(second_person_limits_make_sense, checks.Tags.security)

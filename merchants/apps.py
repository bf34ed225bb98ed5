from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class MerchantsConfig(AppConfig):
    name = "merchants"
    verbose_name = _("Merchants")

    def ready(self) -> None:
        from merchants import schema  # noqa: F401 - registers itself with the OpenAPI generator
        from merchants.checks import check_demo_is_local

        checks.register(check_demo_is_local, checks.Tags.security)

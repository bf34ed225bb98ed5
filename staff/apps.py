from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class StaffConfig(AppConfig):
    """Stands last among the apps with models: after `migrate`, their permissions exist when its turn comes."""

    name = "staff"
    verbose_name = _("Access")

    def ready(self) -> None:
        from django.contrib import admin

        from staff.checks import second_factor_where_money_is_real
        from staff.forms import LoginForm
        from staff.groups import follow_roles

        checks.register(second_factor_where_money_is_real, checks.Tags.security)
        post_migrate.connect(follow_roles, sender=self, dispatch_uid="roles")
        admin.site.login_form = LoginForm
        admin.site.login_template = "staff/login.html"

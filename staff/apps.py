from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class StaffConfig(AppConfig):
    """Must stand behind all apps with models in INSTALLED_APPS: `sync_groups` needs their permissions, which Django
    creates after `migrate`, one app after the other."""

    name = "staff"
    verbose_name = _("Access")

    def ready(self) -> None:
        from django.contrib import admin

        from staff.checks import check_group_roles, check_second_factor_required
        from staff.forms import LoginForm
        from staff.groups import sync_groups

        checks.register(check_second_factor_required, checks.Tags.security)
        checks.register(check_group_roles, checks.Tags.security)
        post_migrate.connect(sync_groups, sender=self, dispatch_uid="roles")
        admin.site.login_form = LoginForm
        admin.site.login_template = "staff/login.html"

from django.contrib.admin.apps import SimpleAdminConfig


class BackOfficeConfig(SimpleAdminConfig):
    """Does not import the modules of the admin. `payment_platform.urls` does: workers have no pages, and start faster
    and with less memory without them."""

    default_site = "common.admin_site.BackOfficeSite"

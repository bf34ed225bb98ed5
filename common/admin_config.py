from django.contrib.admin.apps import SimpleAdminConfig


class BackOfficeConfig(SimpleAdminConfig):
    """Does not import the modules of the admin in `django.setup()`. `payment_platform.urls` does, and so do Django's
    checks (`BackOfficeSite.check`)."""

    default_site = "common.admin_site.BackOfficeSite"

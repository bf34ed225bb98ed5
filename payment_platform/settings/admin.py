"""The admin's theme (django-unfold)."""

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

UNFOLD = {
    "SITE_TITLE": _("Payment Platform"),
    "SITE_HEADER": _("Payment Platform"),
    "SITE_URL": "/api/docs",
    "SITE_FAVICONS": [{"rel": "icon", "href": "/favicon.ico"}],
    "SHOW_LANGUAGES": True,
    "ACCOUNT": {
        "navigation": [
            {"title": _("Profile"), "link": reverse_lazy("staff_profile")},
            {"title": _("Second factor"), "link": reverse_lazy("second_factor")},
            {"title": _("Open sessions"), "link": reverse_lazy("staff_sessions")},
        ]
    },
    "SIDEBAR": {"navigation": "backoffice.navigation.groups"},
    "DASHBOARD_CALLBACK": "backoffice.dashboard.page.add_dashboard_context",
    "STYLES": [
        lambda _request: static("office/office.css"),
        lambda _request: static("office/search.css"),
        lambda _request: static("office/lists.css"),
        lambda _request: static("office/environment.css"),
    ],
    "SCRIPTS": [
        lambda _request: static("office/office.js"),
        lambda _request: static("office/search.js"),
        lambda _request: static("office/lists.js"),
    ],
}

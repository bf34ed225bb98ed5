"""The admin's site: the theme's, which lists all models only on pages that show them."""

from collections.abc import Sequence
from typing import Any, cast

from django.apps import AppConfig
from django.contrib import admin
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class BackOfficeSite(UnfoldAdminSite):
    def check(self, app_configs: Sequence[AppConfig] | None) -> list[CheckMessage]:
        """Django's checks of the admin, which may run before the URLs are imported."""
        admin.autodiscover()
        return super().check(app_configs)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Built on first use: it is in the context of every page, and takes a sixth of its time."""
        build = super().get_app_list
        return cast("list[Any]", SimpleLazyObject(lambda: build(request, app_label)))

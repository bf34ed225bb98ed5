"""Read-only pages: keys are changed by services, and no page shows a hash or a secret."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import SCOPE, FlatInline, ReadOnlyAdmin
from merchants.models import BOTH_ENVIRONMENTS, ApiKey, Environment, Merchant, RequestNonce

KEY_COLUMNS = ("hint", "environment", "label", "last_used_at", "expires_at", "retires_at", "revoked_at")


class EnvironmentFilter(SimpleListFilter):
    """Without a value in the address, a list shows the environment of the switch (`ReadOnlyAdmin.scoped_query`)."""

    title = _("environment")
    parameter_name = SCOPE

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        preferences = getattr(request, "staff_preferences", None)
        self.is_scope = preferences is not None and self.value() == preferences.environment

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Environment.choices, (BOTH_ENVIRONMENTS, _("Test and live"))]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(environment=self.value()) if self.value() in Environment.values else rows

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Without Django's first one, which takes the parameter away: “Test and live” does what it says."""
        return islice(super().choices(changelist), 1, None)


class TaskQueueFilter(EnvironmentFilter):
    """For sagas: the queue that serves a payment has the name of its environment. `default` serves what has none."""

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in Environment.values:
            return rows
        return rows.filter(task_queue__in=(self.value(), "default"))


class ApiKeyInline(FlatInline):
    model = ApiKey
    fields = readonly_fields = ("key_link", *KEY_COLUMNS[1:])

    @admin.display(description=_("hint"))
    def key_link(self, key: ApiKey) -> SafeString:
        """Links to the page where the key is rotated and revoked."""
        url = reverse("admin:merchants_apikey_change", args=[key.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, key.hint)


@admin.register(Merchant)
class MerchantAdmin(ReadOnlyAdmin):
    list_display = ("name", "email", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("=id", "email", "name")
    inlines = (ApiKeyInline,)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("hint", "merchant", *KEY_COLUMNS[1:])
    list_filter = (EnvironmentFilter,)
    list_select_related = ("merchant",)
    search_fields = ("=id", "=public_id", "merchant__email")
    exclude = ("key_hash", "sealed_secret")


@admin.register(RequestNonce)
class RequestNonceAdmin(ReadOnlyAdmin):
    list_display = ("nonce", "api_key", "created_at")
    list_select_related = ("api_key",)
    search_fields = ("=nonce",)

"""Read-only pages: keys are changed by services, and no page shows a hash or a secret."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from common.admin import FlatInline, ReadOnlyAdmin, choice_filter
from merchants.models import ApiKey, Environment, Merchant, RequestNonce

KEY_COLUMNS = ("hint", "environment", "label", "last_used_at", "expires_at", "retires_at", "revoked_at")
environment_filter = choice_filter(
    "environment",
    _("environment"),
    Environment.choices,
    lambda rows, value: rows.filter(environment=value),
)


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
    list_filter = ("environment",)
    list_select_related = ("merchant",)
    search_fields = ("=id", "=public_id", "merchant__email")
    exclude = ("key_hash", "sealed_secret")


@admin.register(RequestNonce)
class RequestNonceAdmin(ReadOnlyAdmin):
    list_display = ("nonce", "api_key", "created_at")
    list_select_related = ("api_key",)
    search_fields = ("=nonce",)

"""Looking only: keys change through services, and neither hash nor secret is on any page."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, ReadOnlyInline, choice_filter, flag_column
from merchants.models import ApiKey, Environment, Merchant, RequestNonce

KEY_COLUMNS = ("hint", "environment", "label", "last_used_at", "expires_at", "retires_at", "revoked_at")
environment_filter = choice_filter(
    "environment",
    _("environment"),
    Environment.choices,
    lambda rows, value: rows.filter(environment=value),
)


class ApiKeyInline(ReadOnlyInline):
    model = ApiKey
    fields = readonly_fields = KEY_COLUMNS


@admin.register(Merchant)
class MerchantAdmin(ReadOnlyAdmin):
    strict = flag_column("strict_idempotency", _("strict idempotency"))
    list_display = ("name", "email", "status", "strict", "created_at")
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

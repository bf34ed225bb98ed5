"""Read-only pages: keys are changed by services, and no page shows a hash or a secret."""

import uuid
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from common.admin import SCOPE, ReadOnlyAdmin
from common.admin_lists import FilterInput, InputsFilter
from merchants.models import BOTH_ENVIRONMENTS, ApiKey, Environment, Merchant, RequestNonce


class EnvironmentFilter(SimpleListFilter):
    """Without a value in the address, a list shows the environment of the switch (`ReadOnlyAdmin.scoped_query`).

    `path` leads from a row to its environment, with `__` between the columns, as in a filter of Django.
    """

    title = _("environment")
    parameter_name = SCOPE
    path: ClassVar[str] = "environment"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        preferences = getattr(request, "staff_preferences", None)
        self.is_scope = preferences is not None and self.value() == preferences.environment

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Environment.choices, (BOTH_ENVIRONMENTS, _("Test and live"))]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return self.narrow(rows, chosen) if chosen in Environment.values else rows

    @classmethod
    def narrow(cls, rows: QuerySet[Any], environment: str) -> QuerySet[Any]:
        """Returns the rows of this environment."""
        return rows.filter(**{cls.path: environment})

    @classmethod
    def read_environment(cls, row: Any) -> str:
        """Returns the environment of a row: an empty string for one that belongs to none, such as some sagas."""
        value = row
        for name in cls.path.split("__"):
            value = getattr(value, name)
        return str(value) if value in Environment.values else ""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Without Django's first one, which takes the parameter away: “Test and live” does what it says."""
        return islice(super().choices(changelist), 1, None)


class TaskQueueFilter(EnvironmentFilter):
    """For sagas: the queue that serves a payment has the name of its environment. `default` serves what has none."""

    path = "task_queue"

    @classmethod
    def narrow(cls, rows: QuerySet[Any], environment: str) -> QuerySet[Any]:
        return rows.filter(**{f"{cls.path}__in": (environment, "default")})


def environment_filter(path: str) -> type[EnvironmentFilter]:
    """For rows that belong to an object with an environment, such as the attempts of a payment."""
    base = TaskQueueFilter if path.endswith(TaskQueueFilter.path) else EnvironmentFilter
    return type(f"{base.__name__}At", (base,), {"path": path})


class MerchantFilter(InputsFilter):
    title = _("merchant")
    is_on_top = True
    inputs = (FilterInput("merchant", _("Merchant's e-mail or id"), "merchant"),)

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        term = self.value("merchant")
        if not term:
            return rows
        try:
            is_named = Q(pk=uuid.UUID(term))
        except ValueError:
            is_named = Q(email=term.lower())
        merchant_id = Merchant.objects.filter(is_named).values_list("pk", flat=True).first()
        if merchant_id is None:
            self.report_invalid(request, self.inputs[0])
            return rows
        return rows.filter(merchant_id=merchant_id)


@admin.register(Merchant)
class MerchantAdmin(ReadOnlyAdmin):
    list_display = ("name", "email", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("=id", "email", "name")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "hint",
        "merchant",
        "environment",
        "label",
        "last_used_at",
        "expires_at",
        "retires_at",
        "revoked_at",
    )
    list_filter = (EnvironmentFilter, MerchantFilter)
    list_select_related = ("merchant",)
    search_fields = ("=id", "=public_id", "merchant__email")
    exclude = ("key_hash", "sealed_secret")


@admin.register(RequestNonce)
class RequestNonceAdmin(ReadOnlyAdmin):
    list_display = ("nonce", "api_key", "created_at")
    list_filter = (environment_filter("api_key__environment"),)
    list_select_related = ("api_key",)
    search_fields = ("=nonce",)

"""The sidebar: models grouped by task. A link is shown only with the permission to view its model."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

# A task with its models and their icons, the most used model first.
TASKS: Sequence[tuple[Promise, Sequence[tuple[str, str]]]] = (
    (
        _("Payments"),
        (
            ("gateway.payment", "payments"),
            ("gateway.paymentattempt", "bolt"),
            ("gateway.paymentreview", "flag"),
            ("gateway.routingrule", "alt_route"),
        ),
    ),
    (_("Refunds"), (("gateway.refund", "undo"), ("gateway.dispute", "gavel"))),
    (_("Orders"), (("orders.order", "shopping_bag"), ("orders.orderitem", "list"))),
    (
        _("Sagas"),
        (
            ("sagas.sagainstance", "account_tree"),
            ("approvals.approval", "how_to_reg"),
            ("sagas.sagastep", "footprint"),
            ("sagas.sagaevent", "timeline"),
            ("sagas.sagasignal", "notifications"),
        ),
    ),
    (
        _("Webhooks and events"),
        (
            ("gateway.channelevent", "webhook"),
            ("events.outboxevent", "campaign"),
            ("webhooks.webhookendpoint", "link"),
            ("webhooks.webhookdelivery", "outbox"),
            ("webhooks.webhookattempt", "send"),
        ),
    ),
    (
        _("Merchants"),
        (
            ("merchants.merchant", "storefront"),
            ("merchants.apikey", "key"),
            ("channel_accounts.storedchannelaccount", "account_balance"),
            ("idempotency.idempotencykey", "repeat"),
            ("merchants.requestnonce", "tag"),
        ),
    ),
    (_("Audit"), (("audit.staffaction", "policy"), ("exports.export", "download"))),
    (
        _("System"),
        (
            ("monitoring.consistencyrun", "fact_check"),
            ("monitoring.consistencyresult", "rule"),
            ("auth.user", "group"),
            ("auth.group", "badge"),
        ),
    ),
)


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """Called by the theme. Models that no task names are listed under the last one."""
    models = {model._meta.label_lower: model for model in admin.site._registry}
    grouped = {label for _title, items in TASKS for label, _icon in items}
    rest = [(label, "settings") for label in sorted(models) if label not in grouped]
    found: list[dict[str, Any]] = [
        {"title": None, "items": [_home()], "separator": False},
    ]
    for title, items in TASKS:
        here = [*items, *rest] if title is TASKS[-1][0] else items
        links = [_link(models[label], icon) for label, icon in here if label in models]
        found.append({"title": title, "items": links, "separator": True, "collapsible": False})
    return found


def _home() -> dict[str, Any]:
    return {"title": _("Dashboard"), "icon": "monitoring", "link": reverse("admin:index")}


def _link(model: Any, icon: str) -> dict[str, Any]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    return {
        "title": capfirst(model._meta.verbose_name_plural),
        "icon": icon,
        "link": reverse(name),
        "permission": _has_view_permission(model),
    }


def _has_view_permission(model: Any) -> Callable[[HttpRequest], bool]:
    def has_permission(request: HttpRequest) -> bool:
        return bool(admin.site._registry[model].has_view_permission(request))

    return has_permission

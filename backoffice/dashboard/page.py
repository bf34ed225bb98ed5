"""The dashboard: the first page of the admin."""

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.dashboard.charts import payments_chart
from backoffice.dashboard.comparison import ComparisonRow, build_row, build_summaries, describe_change
from backoffice.dashboard.figures import STATUS_GROUPS, Figures, load_figures
from backoffice.dashboard.groups import NOTHING_PAID
from backoffice.renderers.saga_labels import format_duration, format_milliseconds
from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import QueueFilter, count_open_items
from backoffice.work_queue.page import VIEW_PERMISSIONS, describe_count
from common.admin import money_text
from merchants.models import Environment
from monitoring.integrity import registry
from staff.preferences import get_shown_environment
from staff.roles import Permission, has_permission

RANGES = {
    "24h": (gettext_lazy("24 hours"), dt.timedelta(hours=24), False),
    "7d": (gettext_lazy("7 days"), dt.timedelta(days=7), True),
    "30d": (gettext_lazy("30 days"), dt.timedelta(days=30), True),
}
OUTCOME_LABELS = {
    "succeeded": gettext_lazy("Succeeded"),
    "failed": gettext_lazy("Failed"),
    "closed": gettext_lazy("Cancelled or expired"),
    "open": gettext_lazy("Open"),
}
LAG_TILES = {
    "outbox": (
        gettext_lazy("Unpublished events"),
        "events_outboxevent",
        "published_at__isempty=1",
    ),
    "fan_out": (
        gettext_lazy("Events waiting for fan-out"),
        "events_outboxevent",
        "fanned_out_at__isempty=1",
    ),
    "webhooks": (gettext_lazy("Due webhook deliveries"), "webhooks_webhookdelivery", "due=yes"),
}
PATIENCE_SECONDS = 60  # younger items are on their way: no warning
MONEY_PERMISSIONS = (Permission.REFUND, Permission.EXPORT)
KIND_LABELS = {
    ItemKind.PAYMENT: gettext_lazy("Payments to review"),
    ItemKind.REFUND: gettext_lazy("Refunds to review"),
    ItemKind.SAGA: gettext_lazy("Stopped or stuck sagas"),
    ItemKind.APPROVAL: gettext_lazy("Pending approvals"),
    ItemKind.DISPUTE: gettext_lazy("Disputes"),
    ItemKind.ENDPOINT: gettext_lazy("Disabled webhook endpoints"),
    ItemKind.SETTLEMENT_CASE: gettext_lazy("Settlement cases"),
    ItemKind.PAYOUT_RUN: gettext_lazy("Payout runs to approve"),
    ItemKind.PAYOUT: gettext_lazy("Payouts without an answer of the bank"),
    ItemKind.BANK_ACCOUNT: gettext_lazy("Bank accounts to approve"),
}


def add_dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme. Without the permission to view payments the dashboard stays empty."""
    if not request.user.has_perm("gateway.view_payment"):
        return context
    chosen = request.GET.get("range", "")
    chosen = chosen if chosen in RANGES else "24h"
    environment = get_shown_environment(request, can_be_both=False)  # amounts of both cannot be added up
    _label, length, by_day = RANGES[chosen]
    figures = load_figures(span=length, by_day=by_day, environment=environment)
    payments_url = reverse("admin:gateway_payment_changelist")
    checks = [
        {"passed": check.passed, "count": check.count, "meaning": registry.get_check_meaning(check.name)}
        for check in figures.checks
    ]
    return {
        **context,
        "title": _("Dashboard"),
        "figures": figures,
        "ranges": _links("range", RANGES, chosen, request),
        "summaries": build_summaries(figures.total),
        "money_first": any(has_permission(request.user, each) for each in MONEY_PERMISSIONS)
        and not has_permission(request.user, Permission.OPERATE),
        "chart": payments_chart(figures, by_day=by_day, list_url=payments_url),
        "chart_rows": _chart_rows(figures),
        "outcomes": [(outcome, OUTCOME_LABELS[outcome]) for outcome in STATUS_GROUPS],
        "channels": _channels(figures, payments_url),
        "merchants": _merchants(figures, payments_url),
        "amounts": _amounts(figures, payments_url),
        "latencies": [
            (
                each.channel,
                number_format(each.calls),
                format_milliseconds(each.p50_ms),
                format_milliseconds(each.p95_ms),
            )
            for each in figures.latencies
        ],
        "tiles": _queue_tiles(figures, environment, request.user),
        "lags": _lags(figures, request.user),
        "failed_checks": [check for check in checks if not check["passed"]],
        "checks": checks,
    }


def _links(name: str, choices: dict[Any, Any], chosen: str, request: HttpRequest) -> list[dict[str, Any]]:
    """One for each choice; an environment that the address names is kept."""
    named = request.GET.get("environment", "")
    other = f"&environment={named}" if named in Environment.values else ""
    return [
        {
            "label": label[0] if isinstance(label, tuple) else label,
            "url": f"?{name}={value}{other}",
            "here": value == chosen,
        }
        for value, label in choices.items()
    ]


def _chart_rows(figures: Figures) -> list[tuple[dt.datetime, list[int]]]:
    newest_first = reversed(figures.moments)
    return [
        (moment, [figures.by_moment[moment][outcome] for outcome in STATUS_GROUPS]) for moment in newest_first
    ]


def _since(figures: Figures) -> str:
    return f"environment={figures.environment}&created_from={figures.start:%Y-%m-%dT%H:%MZ}"


def _channels(figures: Figures, url: str) -> list[ComparisonRow]:
    return [
        build_row(channel, f"{url}?channel={channel}&{_since(figures)}", group)
        for channel, group in sorted(figures.channels.items())
    ]


def _merchants(figures: Figures, url: str) -> list[ComparisonRow]:
    return [
        build_row(each.name, f"{url}?merchant={each.id}&{_since(figures)}", each.group)
        for each in figures.merchants
    ]


def _amounts(figures: Figures, url: str) -> list[dict[str, Any]]:
    before = figures.total.previous_paid
    return [
        {
            "currency": currency,
            "paid": money_text(paid.captured_minor, currency),
            "refunded": money_text(paid.refunded_minor, currency),
            "net": money_text(paid.net_minor, currency),
            "change": describe_change(paid.captured_minor, before.get(currency, NOTHING_PAID).captured_minor),
            "url": f"{url}?currency={currency}&environment={figures.environment}"
            f"&paid_from={figures.start:%Y-%m-%dT%H:%MZ}",
        }
        for currency, paid in sorted(figures.total.paid.items())
    ]


def _queue_tiles(figures: Figures, environment: str, user: Any) -> list[dict[str, Any]]:
    """One tile for each kind of the work queue that the person may see."""
    kinds = [kind for kind, permission in VIEW_PERMISSIONS.items() if user.has_perm(permission)]
    counts = count_open_items(QueueFilter(kinds, environment=environment))
    tiles = []
    for kind in kinds:
        found = counts.get(kind)
        age = figures.now - found.oldest_since if found else None
        tiles.append(
            {
                "label": KIND_LABELS[kind],
                "count": describe_count([found] if found else []),
                "age": format_duration(max(age, dt.timedelta())) if age is not None else "",
                "tone": "danger" if found else "success",
                "icon": "warning" if found else "check_circle",
                "url": f"{reverse('work_queue')}?kind={kind.value}&environment={environment}",
            }
        )
    return tiles


def _lags(figures: Figures, user: Any) -> list[dict[str, Any]]:
    """The backlogs, in one line."""
    lags = []
    for name, (label, admin, query) in LAG_TILES.items():
        if not user.has_perm(admin.replace("_", ".view_")):
            continue
        found = figures.lags[name]
        age = found.oldest_seconds
        lags.append(
            {
                "label": label,
                "count": f"{number_format(found.count, force_grouping=True)}{'+' if found.is_truncated else ''}",
                "age": format_duration(dt.timedelta(seconds=max(age, 0))) if age is not None else "",
                "is_late": age is not None and age > PATIENCE_SECONDS,
                "url": f"{reverse(f'admin:{admin}_changelist')}?{query}",
            }
        )
    return lags

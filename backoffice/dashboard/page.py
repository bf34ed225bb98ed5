"""The dashboard: the first page of the admin."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.dashboard.charts import payments_chart
from backoffice.dashboard.figures import STATUS_GROUPS, Figures, OpenItems, load_figures, success_rate
from backoffice.renderers.saga_labels import format_duration, format_milliseconds
from common.admin import money_text
from merchants.models import Environment
from monitoring.integrity import registry

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
OPEN_ITEM_TILES = {
    "payments_attention": (
        gettext_lazy("Needs review: payments"),
        "gateway_payment",
        "needs_attention__exact=1",
    ),
    "sagas_attention": (
        gettext_lazy("Needs review: sagas"),
        "sagas_sagainstance",
        "needs_attention__exact=1",
    ),
    "sagas_stuck": (gettext_lazy("Stuck sagas"), "sagas_sagainstance", "stuck=yes"),
    "payments_stuck": (gettext_lazy("Stuck payments"), "gateway_payment", "stuck=yes"),
    "approvals": (
        gettext_lazy("Pending approvals"),
        "approvals_approval",
        "state__exact=pending",
    ),
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


def add_dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme. Without the permission to view payments the dashboard stays empty."""
    if not request.user.has_perm("gateway.view_payment"):
        return context
    chosen = request.GET.get("range", "")
    chosen = chosen if chosen in RANGES else "24h"
    default = Environment.TEST if settings.LOCAL_STACK else Environment.LIVE
    environment = request.GET.get("environment", "")
    environment = environment if environment in Environment.values else default
    _label, length, by_day = RANGES[chosen]
    figures = load_figures(span=length, by_day=by_day, environment=environment)
    payments_url = reverse("admin:gateway_payment_changelist")
    return {
        **context,
        "title": _("Dashboard"),
        "figures": figures,
        "ranges": _links("range", RANGES, chosen, f"environment={environment}"),
        "environments": _links("environment", dict(Environment.choices), environment, f"range={chosen}"),
        "chart": payments_chart(figures, by_day=by_day, list_url=payments_url),
        "chart_rows": _chart_rows(figures),
        "outcomes": [(outcome, OUTCOME_LABELS[outcome]) for outcome in STATUS_GROUPS],
        "channels": _channels(figures, payments_url),
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
        "tiles": _tiles(figures, request.user),
        "checks": [
            {"passed": check.passed, "count": check.count, "meaning": registry.get_check_meaning(check.name)}
            for check in figures.checks
        ],
    }


def _links(name: str, choices: dict[Any, Any], chosen: str, other: str) -> list[dict[str, Any]]:
    return [
        {
            "label": label[0] if isinstance(label, tuple) else label,
            "url": f"?{name}={value}&{other}",
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


def _channels(figures: Figures, url: str) -> list[dict[str, Any]]:
    rows = []
    for channel, outcomes in sorted(figures.by_channel.items()):
        rate = success_rate(outcomes)
        rows.append(
            {
                "name": channel,
                "rate": "—" if rate is None else f"{number_format(round(rate * 100, 1))} %",
                "bar": round((rate or 0) * 200),
                "count": number_format(sum(outcomes.values()), force_grouping=True),
                "url": f"{url}?channel={channel}&{_since(figures)}",
            }
        )
    return rows


def _amounts(figures: Figures, url: str) -> list[dict[str, Any]]:
    return [
        {
            "currency": currency,
            "paid": money_text(paid.captured_minor, currency),
            "refunded": money_text(paid.refunded_minor, currency),
            "net": money_text(paid.net_minor, currency),
            "url": f"{url}?currency={currency}&environment={figures.environment}"
            f"&paid_from={figures.start:%Y-%m-%dT%H:%MZ}",
        }
        for currency, paid in figures.by_currency.items()
    ]


def _tiles(figures: Figures, user: Any) -> list[dict[str, Any]]:
    """One tile for each list that the person may open."""
    tiles = [
        *((words, figures.open_items[name], 0.0) for name, words in OPEN_ITEM_TILES.items()),
        *((words, figures.lags[name], PATIENCE_SECONDS) for name, words in LAG_TILES.items()),
    ]
    return [
        _tile(words, open_items, patience)
        for words, open_items, patience in tiles
        if user.has_perm(words[1].replace("_", ".view_"))
    ]


def _tile(words: tuple[Any, str, str], open_items: OpenItems, patience_seconds: float = 0) -> dict[str, Any]:
    label, admin, query = words
    age = open_items.oldest_seconds
    late = age is not None and age > patience_seconds
    return {
        "label": label,
        "count": f"{number_format(open_items.count, force_grouping=True)}{'+' if open_items.is_truncated else ''}",
        "age": format_duration(dt.timedelta(seconds=max(age, 0))) if age is not None else "",
        "tone": "danger" if late else "success",
        "icon": "warning" if late else "check_circle",
        "url": f"{reverse(f'admin:{admin}_changelist')}?{query}",
    }

"""The menu: eight entries. The last one is a page with everything else. A link is shown only with the permission to
view its model.

Orders are on that page: each has one payment, whose page leads to it, and the search finds it by its number."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

Items = Sequence[tuple[str, str]]  # a model and its icon

MENU: Items = (
    ("gateway.payment", "payments"),
    ("gateway.refund", "undo"),
    ("gateway.dispute", "gavel"),
    ("sagas.sagainstance", "account_tree"),
    ("merchants.merchant", "storefront"),
)
# The page "More". Models that no group names are listed in the last one, which holds the tables as they are stored.
MORE: Sequence[tuple[Promise, Items]] = (
    (
        _("Setup"),
        (
            ("channel_accounts.storedchannelaccount", "account_balance"),
            ("gateway.routingrule", "alt_route"),
            ("fees.feeplanchange", "percent"),
            ("fees.feeplanversion", "history"),
            ("fees.feeplanassignment", "sell"),
            ("webhooks.webhookendpoint", "link"),
            ("settlements.channelfeerate", "percent"),
            ("payouts.payoutplan", "event_repeat"),
            ("payouts.bankaccount", "account_balance_wallet"),
            ("merchants.apikey", "key"),
            ("auth.user", "group"),
            ("auth.group", "badge"),
        ),
    ),
    (
        _("Records"),
        (
            ("orders.order", "shopping_bag"),
            ("approvals.approval", "how_to_reg"),
            ("audit.staffaction", "policy"),
            ("exports.export", "download"),
            ("reports.reportschedule", "summarize"),
            ("reports.reportrun", "schedule_send"),
            ("gateway.paymentreview", "flag"),
            ("gateway.disputeresponse", "reply"),
            ("gateway.suspenseitem", "hourglass_empty"),
            ("webhooks.webhookdelivery", "outbox"),
            ("gateway.channelevent", "webhook"),
            ("payouts.payoutrun", "send_money"),
            ("payouts.payout", "output"),
            ("ledger.ledgertransfer", "balance"),
            ("ledger.dailyclose", "lock_clock"),
            ("settlements.settlementday", "compare_arrows"),
            ("settlements.settlementcase", "rule_folder"),
            ("settlements.statementfile", "receipt_long"),
            ("fees.merchantstatement", "receipt_long"),
            ("monitoring.consistencyrun", "fact_check"),
        ),
    ),
    (
        _("Technical tables"),
        (
            ("gateway.paymentattempt", "bolt"),
            ("gateway.evidencefile", "attach_file"),
            ("orders.orderitem", "list"),
            ("sagas.sagastep", "footprint"),
            ("sagas.sagaevent", "timeline"),
            ("sagas.sagasignal", "notifications"),
            ("events.outboxevent", "campaign"),
            ("webhooks.webhookattempt", "send"),
            ("idempotency.idempotencykey", "repeat"),
            ("merchants.requestnonce", "tag"),
            ("monitoring.consistencyresult", "rule"),
            ("settlements.statementline", "list_alt"),
            ("settlements.statementexpectation", "pending_actions"),
        ),
    ),
)


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, called by the theme."""
    home = {"title": _("Dashboard"), "icon": "monitoring", "link": reverse("admin:index")}
    more = {"title": _("More"), "icon": "apps", "link": reverse("admin_more")}
    models = _registered_models()
    queue = {"title": _("Work queue"), "icon": "inbox", "link": reverse("work_queue")}
    entries = [home, queue, *(_link(models[label], icon) for label, icon in MENU), more]
    return [{"title": None, "items": entries, "separator": False}]


def show_more(request: HttpRequest) -> TemplateResponse:
    models = _registered_models()
    named = {label for items in (MENU, *(items for _title, items in MORE)) for label, _icon in items}
    rest = [(label, "settings") for label in sorted(models) if label not in named]
    shown = []
    for title, items in MORE:
        links = [
            _link(models[label], icon) for label, icon in (*items, *(rest if title is MORE[-1][0] else ()))
        ]
        if permitted := [link for link in links if link["permission"](request)]:
            shown.append({"title": title, "links": permitted})
    context = {**admin.site.each_context(request), "title": _("More"), "groups": shown}
    return TemplateResponse(request, "backoffice/more.html", context)


def _registered_models() -> dict[str, Any]:
    return {model._meta.label_lower: model for model in admin.site._registry}


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

"""The page of the work queue: everything on which staff must act, with its filters and bulk changes."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from backoffice.work_queue import services
from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import (
    MAX_SHOWN,
    KindCount,
    QueueFilter,
    count_open_items,
    list_open_items,
)
from backoffice.work_queue.rows import build_rows
from backoffice.work_queue.services import ItemReference
from common.errors import OperationRefused
from merchants.models import BOTH_ENVIRONMENTS, Environment, Merchant
from staff.preferences import get_shown_environment
from staff.roles import Permission, has_permission

VIEW_PERMISSIONS: Mapping[ItemKind, str] = {
    ItemKind.PAYMENT: "gateway.view_payment",
    ItemKind.REFUND: "gateway.view_payment",
    ItemKind.SAGA: "sagas.view_sagainstance",
    ItemKind.APPROVAL: "approvals.view_approval",
    ItemKind.DISPUTE: "gateway.view_dispute",
    ItemKind.ENDPOINT: "webhooks.view_webhookendpoint",
    ItemKind.SETTLEMENT_CASE: "settlements.view_settlementcase",
    ItemKind.PAYOUT_RUN: "payouts.view_payoutrun",
    ItemKind.PAYOUT: "payouts.view_payout",
    ItemKind.BANK_ACCOUNT: "payouts.view_bankaccount",
}
MINE, UNASSIGNED, SNOOZED = "mine", "unassigned", "snoozed"
ASSIGNEE_FILTERS = {
    "": gettext_lazy("All"),
    MINE: gettext_lazy("Mine"),
    UNASSIGNED: gettext_lazy("Unassigned"),
    SNOOZED: gettext_lazy("Snoozed"),
}
ENVIRONMENT_FILTERS: Mapping[str, Any] = {
    **dict(Environment.choices),
    BOTH_ENVIRONMENTS: gettext_lazy("Test and live"),
}
SNOOZES = {
    "1": gettext_lazy("1 hour"),
    "4": gettext_lazy("4 hours"),
    "24": gettext_lazy("1 day"),
    "72": gettext_lazy("3 days"),
    "168": gettext_lazy("1 week"),
    "0": gettext_lazy("Show again"),
}
MAX_PEOPLE: Final = 200


@never_cache
def show_queue(request: HttpRequest) -> HttpResponse:
    """A POST changes the chosen items and leads back to the same filters."""
    kinds = [kind for kind, permission in VIEW_PERMISSIONS.items() if _user(request).has_perm(permission)]
    if not kinds:
        raise PermissionDenied
    if request.method == "POST":
        return _change_items(request, kinds)
    parameters = request.GET
    merchant = _find_merchant(request, parameters.get("merchant", ""))
    chosen = _build_filter(request, kinds, merchant)
    counts = count_open_items(chosen)
    kind = parameters.get("kind", "")
    if kind in kinds:
        chosen = _build_filter(request, [ItemKind(kind)], merchant)
    items = list_open_items(chosen)
    counted = [count for name, count in counts.items() if name in chosen.kinds]
    context = {
        **admin.site.each_context(request),
        "title": _("Work queue"),
        "rows": build_rows(items, request.user),
        "total": describe_count(counted),
        "is_truncated": sum(count.count for count in counted) > MAX_SHOWN,
        "kind_links": _kind_links(parameters, kinds, counts),
        "whose_links": _links(parameters, "whose", ASSIGNEE_FILTERS),
        "environment_links": _links(
            parameters, "environment", ENVIRONMENT_FILTERS, get_shown_environment(request)
        ),
        "hidden": [
            (name, parameters[name]) for name in ("kind", "whose", "environment") if parameters.get(name)
        ],
        "merchant_term": parameters.get("merchant", ""),
        "can_handle": has_permission(request.user, Permission.HANDLE_WORK_ITEMS),
        "people": _list_people(),
        "snoozes": SNOOZES.items(),
        "here": request.get_full_path(),
    }
    return TemplateResponse(request, "backoffice/work_queue.html", context)


def _build_filter(request: HttpRequest, kinds: list[ItemKind], merchant: Merchant | None) -> QueueFilter:
    whose = request.GET.get("whose", "")
    shown = get_shown_environment(request)
    return QueueFilter(
        kinds,
        assignee=_user(request).get_username() if whose == MINE else "",
        is_unassigned=whose == UNASSIGNED,
        is_snoozed=whose == SNOOZED,
        environment="" if shown == BOTH_ENVIRONMENTS else shown,
        merchant_id=merchant.pk if merchant else None,
    )


def _find_merchant(request: HttpRequest, term: str) -> Merchant | None:
    term = term.strip()
    if not term or "\0" in term:
        return None
    found = Merchant.objects.filter(email=term.lower()).first() or Merchant.objects.filter(name=term).first()
    if found is None:
        messages.warning(request, _("There is no merchant “%(term)s”.") % {"term": term[:100]})
    return found


def _kind_links(
    parameters: QueryDict, kinds: list[ItemKind], counts: Mapping[ItemKind, KindCount]
) -> list[dict[str, Any]]:
    links = _links(
        parameters, "kind", {"": gettext_lazy("Everything"), **{kind.value: kind.label for kind in kinds}}
    )
    totals = [list(counts.values()), *([counts[kind]] if kind in counts else [] for kind in kinds)]
    return [{**link, "count": describe_count(found)} for link, found in zip(links, totals, strict=True)]


def describe_count(counts: Iterable[KindCount]) -> str:
    """`512`, or `500+` when a source has more than are counted."""
    counts = list(counts)
    total = number_format(sum(count.count for count in counts), force_grouping=True)
    return f"{total}+" if any(count.is_capped for count in counts) else total


def _links(
    parameters: QueryDict, name: str, choices: Mapping[str, Any], chosen: str | None = None
) -> list[dict[str, Any]]:
    """One link for each choice, which keeps the other filters."""
    chosen = parameters.get(name, "") if chosen is None else chosen
    links = []
    for value, label in choices.items():
        query = parameters.copy()
        query.pop(name, None)
        if value:
            query[name] = value
        links.append(
            {
                "label": label,
                "url": f"?{query.urlencode()}",
                "here": value == chosen,
            }
        )
    return links


def _list_people() -> list[str]:
    people = User.objects.filter(is_active=True, is_staff=True).order_by("username")
    return list(people.values_list("username", flat=True)[:MAX_PEOPLE])


def _change_items(request: HttpRequest, kinds: list[ItemKind]) -> HttpResponse:
    if not has_permission(request.user, Permission.HANDLE_WORK_ITEMS):
        raise PermissionDenied
    taken = request.POST.get("take", "")  # the button of one row
    keys = [taken] if taken else request.POST.getlist("item")[:MAX_SHOWN]
    items = [_parse_key(key, kinds) for key in keys]
    back = f"{reverse('work_queue')}?{request.GET.urlencode()}"
    if not items:
        messages.warning(request, _("Choose at least one item."))
        return redirect(back)
    try:
        _perform(request, items)
    except OperationRefused as refused:
        messages.error(request, str(refused))
    return redirect(back)


def _perform(request: HttpRequest, items: list[ItemReference]) -> None:
    form, actor = request.POST, _user(request).get_username()
    note = form.get("note", "")
    if form.get("take"):
        _assign(request, items, actor, note)
        return
    match form.get("change"):
        case "assign":
            _assign(request, items, form.get("assignee", ""), note)
        case "snooze" if form.get("snooze", "") in SNOOZES:
            length = dt.timedelta(hours=int(form["snooze"]))
            count = services.snooze_items(items=items, length=length, actor=actor, note=note)
            text = _("Snoozed: %(count)d.") if length else _("Shown again: %(count)d.")
            messages.success(request, text % {"count": count})
        case "note":
            count = services.add_note(items=items, actor=actor, note=note)
            messages.success(request, _("Note added: %(count)d.") % {"count": count})
        case _:
            raise Http404


def _assign(request: HttpRequest, items: list[ItemReference], assignee: str, note: str) -> None:
    taken = services.assign_items(
        items=items, assignee=assignee, actor=_user(request).get_username(), note=note
    )
    if taken:
        text = _("Assigned to another person meanwhile: %(numbers)s.")
        messages.warning(request, text % {"numbers": ", ".join(taken)})
    if len(taken) < len(items):
        text = _("Assigned to %(name)s.") % {"name": assignee} if assignee else _("Assigned to nobody.")
        messages.success(request, text)


def _parse_key(key: str, kinds: list[ItemKind]) -> ItemReference:
    """Parses `kind:object id:assignee`. Raises `Http404`."""
    kind, _colon, rest = key.partition(":")
    object_id, _colon, assignee = rest.partition(":")
    if kind not in kinds or "\0" in assignee:
        raise Http404
    try:
        return ItemReference(ItemKind(kind), UUID(object_id), assignee)
    except ValueError as error:
        raise Http404 from error


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)
    return user

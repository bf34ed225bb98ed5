"""The export of a list has the rows that the list shows: for every list that offers one, and each of its filters."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from backoffice.exports.kinds import KINDS
from common.admin_lists import InputsFilter
from common.spreadsheets import escape_formula
from gateway.models import Payment
from merchants.models import Merchant
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers
from webhooks.fanout import fan_out_batch

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ROLES: dict[str, str] = {"staff_actions": "Admin"}
# The column that identifies a line of an export, and its value for a row of the list.
KEYS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "payments": ("payment_no", lambda row: row.payment_no),
    "refunds": ("refund_no", lambda row: row.refund_no),
    "orders": ("order_no", lambda row: row.order_no),
    "sagas": ("id", lambda row: str(row.pk)),
    "deliveries": ("id", lambda row: str(row.pk)),
    "staff_actions": ("request_id", lambda row: row.request_id),
}
INPUTS = {
    "amount_from": "50",
    "amount_to": "80",
    "currency": "jpy",
}


@pytest.fixture
def business(client: SignedClient) -> None:
    """Payments of several statuses, amounts, currencies and hours."""
    shop.data(client.post("/api/v1/webhook-endpoints", {"url": "http://127.0.0.1:9/hook"}))
    for amount in (4_000, 5_500, 7_000, 9_000):
        shop.refund(client, shop.paid(client, amount=amount), amount // 2)
    shop.paid(client, amount=60, currency="JPY")
    shop.authorized(client, amount=6_000)
    shop.error(shop.create(client, "decline"), 402, "payment_declined")
    shop.opened(client, amount=6_500)
    while fan_out_batch():
        pass
    Payment.objects.filter(amount_minor=9_000).update(needs_attention=True)
    with without_triggers() as cursor:
        for table in ("payments", "refunds", "orders", "saga_instances"):
            cursor.execute(
                f"UPDATE {table} SET created_at = created_at - (row_number * interval '7 minutes') FROM"
                f" (SELECT id AS of, row_number() OVER (ORDER BY id DESC) FROM {table}) AS n WHERE id = n.of"
            )


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_has_the_rows_that_the_list_shows(
    business: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first query uses the rendered page and its form; the others call the views directly."""
    pat = with_permissions(member("pat", ROLES.get(kind, "Admin")))
    browser = signed_in(pat)
    model = KINDS[kind].model
    monkeypatch.setattr(admin.site.get_model_admin(model), "list_per_page", 500)
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    seen = set()
    page = browser.get(address)
    assert _read_form(page) == _build_form(page.context)
    for query in _queries(page.context["cl"]):
        listed: Any = call_view(f"{address}?{query}", pat)
        assert listed.status_code == 200, query
        shown = [KEYS[kind][1](row) for row in listed.context_data["cl"].result_list]
        exported = [row[KEYS[kind][0]] for row in _export(pat, _build_form(listed.context_data))]
        if kind == "staff_actions":  # requesting an export adds entries to the audit log
            exported = exported[len(exported) - len(shown) :]
        assert exported == shown, query
        seen.add(tuple(shown))
    assert len(seen) > 1, "some filter must change the rows"


def _queries(changelist: Any) -> Iterator[str]:
    """Yields no filter, each choice of each filter, each input, all inputs, saved views, a search, and two filters."""
    yield ""
    choices = []
    for spec in changelist.filter_specs:
        if isinstance(spec, InputsFilter):
            given = {each.parameter: _value(each.parameter) for each in spec.inputs}
            yield from (urlencode({name: value}) for name, value in given.items())
            choices.append(urlencode(given))
        else:
            choices += [choice["query_string"].lstrip("?") for choice in spec.choices(changelist)]
    yield from choices
    yield from (query for _label, query in changelist.model_admin.saved_views)
    for row in changelist.result_list[:1]:
        first = str(getattr(row, changelist.model_admin.search_fields[0].lstrip("=").split("__")[0]))
        yield urlencode({"q": first})
    for one, other in itertools.pairwise(choices):
        yield urlencode(
            parse_qsl(one) + [pair for pair in parse_qsl(other) if pair[0] not in dict(parse_qsl(one))]
        )


def _value(parameter: str) -> str:
    """Returns a value for a filter. For a time, it is in the middle of the existing rows."""
    if parameter in INPUTS:
        return INPUTS[parameter]
    if parameter == "merchant":
        return Merchant.objects.values_list("email", flat=True)[0]
    minutes_ago = {"from": 40, "to": 10}[parameter.rpartition("_")[2]]
    return f"{timezone.now() - timedelta(minutes=minutes_ago):%Y-%m-%dT%H:%M}"


def _read_form(page: Any) -> dict[str, str]:
    """The hidden fields of the form for the export of a list, and its time zone."""
    html = unescape(page.content.decode())
    (form,) = re.findall(
        r'<form method="post" action="/admin/exports/export/new/".*?</form>', html, re.DOTALL
    )
    found = dict(re.findall(r'<input type="(?:hidden|text)" name="(\w+)"[^>]*? value="([^"]*)"', form))
    return {name: value for name, value in found.items() if name != "csrfmiddlewaretoken"}


def _build_form(context: Any) -> dict[str, str]:
    return {"kind": context["export_kind"], "list": context["export_list"], "time_zone": "UTC"}


def _export(user: User, form: dict[str, str]) -> list[dict[str, str]]:
    answer: Any = call_view("/admin/exports/export/new/", user, form={**form, "reason": "month's end"})
    content = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content)))


def test_unknown_filters_are_refused(business: None) -> None:
    browser = signed_in(member("fin", "Finance"))
    for query in (
        "payments?merchant__password__startswith=a",
        "payments?status__exact=a&nonsense=1",
        "orders?q=1",
    ):
        answer = browser.post(
            "/admin/exports/export/new/", {"kind": "payments", "reason": "month's end", "list": query}
        )
        assert answer.status_code == 409, query


def test_an_export_can_be_filtered_by_the_day_of_payment(client: SignedClient) -> None:
    browser = signed_in(member("fin", "Finance"))
    shop.opened(client)
    paid = shop.paid(client)["payment_no"]
    paid_at = Payment.objects.get(payment_no=paid).paid_at
    assert paid_at is not None
    today = paid_at.date().isoformat()
    given = {"kind": "payments", "reason": "month's end", "paid_from": today, "paid_until": today}
    answer = browser.post("/admin/exports/export/new/", given)
    content = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    (row,) = csv.DictReader(io.StringIO(content))
    assert (row["payment_no"], row["paid_at"][:10]) == (paid, today)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1234567890123456789", False),
        ("0012345", False),
        ("12E5", False),
        ("1.5e10", False),
        ("123456789012345", True),
        ("0", True),
        ("100.00", True),
        ("ORDER-1", True),
    ],
)
def test_numbers_keep_their_digits_in_a_spreadsheet(text: str, kept: bool) -> None:
    assert escape_formula(text) == (text if kept else f"'{text}")

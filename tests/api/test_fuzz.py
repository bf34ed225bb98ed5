"""Generated bodies and queries: every answer follows the contract, and the amounts add up afterwards."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import F, Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.models import Payment
from orders.models import Order
from tests.support.shop import ORDERS, PAYMENTS, REFUNDS, new_no, order_request, paid, payment_request
from tests.support.signing import SignedClient
from tests.support.webhooks import DELIVERIES, ENDPOINTS, EVENTS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

bounded = settings(
    max_examples=75,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**63 - 1, 2**63, 10**12 - 1, 10**12, -(2**63), 10**40]),
    st.floats(),
    ANY_TEXT,
    st.sampled_from(
        ["\0", "\ud800", "USD", "simulator", "auto_pay", "..", "é" * 300, "１００", "-0", "null"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
BANK_SCRIPTS = st.sampled_from(
    [
        "auto_pay",
        "decline",
        "authorize",
        "timeout_after_charge",
        "unreachable",
        "reset_after",
        "nonsense",
        "slow:0",
    ]
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"name": st.text(max_size=5), "quantity": st.integers(-1, 3), "unit_amount": st.integers(-1, 10_000)},
        optional={"more": SCALARS},
    ),
    max_size=3,
)


def bent(field_names: list[str]) -> st.SearchStrategy[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Builds changes of a valid body: some fields are replaced, left out or added."""
    names = st.sampled_from(field_names) | ANY_TEXT
    left_out = st.sets(st.sampled_from(field_names), max_size=1)
    changes = st.dictionaries(names, JSON, max_size=3)
    likely = st.fixed_dictionaries(
        {},
        optional={
            "amount": st.integers(-2, 20_000),
            "items": ITEMS,
            "metadata": st.builds(lambda text: {"simulate": text}, BANK_SCRIPTS),
        },
    )

    def bend(
        out: set[str], more: dict[str, Any], probable: dict[str, Any]
    ) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda body: {
            name: value for name, value in {**body, **probable, **more}.items() if name not in out
        }

    return st.builds(bend, left_out, changes, likely)


def assert_of_the_contract(answer: Any, sent: bytes) -> None:
    body = json.loads(answer.content)
    assert answer.status_code in (200, 202, 400, 402, 404, 409, 422), (answer.status_code, sent)
    if answer.status_code < 300:
        assert (set(body), body["code"]) == ({"code", "message", "data"}, 0)
    else:
        assert set(body) == {"code", "error", "error_code", "details", "request_id"}, sent
        if answer.status_code == 400:
            assert body["details"], sent


def assert_money_adds_up() -> None:
    assert not Payment.objects.exclude(order__amount_minor=F("amount_minor")).exists()
    wrong = ~Q(captured_minor__gte=F("refunded_minor") + F("refund_pending_minor")) | Q(
        captured_minor__gt=F("amount_minor")
    )
    assert not Payment.objects.filter(wrong).exists()
    assert not Order.objects.filter(items__isnull=True).exists()


def _post(client: SignedClient, path: str, body: Any, with_key: bool) -> None:
    raw = json.dumps(body).encode()
    answer = client.request("POST", path, body=raw, idempotency_key=new_no("key") if with_key else None)
    assert_of_the_contract(answer, raw)


@bounded
@given(
    bend=bent(
        list(
            payment_request(
                body="",
                items=[],
                customer={},
                expires_in=60,
                capture_method="manual",
                callback_url="",
                metadata={},
            )
        )
    ),
    with_key=st.booleans(),
)
def test_any_body_of_a_payment(client: SignedClient, bend: Any, with_key: bool) -> None:
    _post(client, PAYMENTS, bend(payment_request()), with_key)
    assert_money_adds_up()


@bounded
@given(bend=bent(list(order_request(items=[], metadata={}))), with_key=st.booleans())
def test_any_body_of_an_order(client: SignedClient, bend: Any, with_key: bool) -> None:
    _post(client, ORDERS, bend(order_request()), with_key)
    assert_money_adds_up()


@bounded
@given(data=st.data(), with_key=st.booleans())
def test_any_body_of_a_refund(client: SignedClient, data: st.DataObject, with_key: bool) -> None:
    payment = paid(client)
    for bend in data.draw(st.lists(bent(["payment_no", "amount", "reason"]), min_size=1, max_size=3)):
        _post(client, REFUNDS, bend({"payment_no": payment["payment_no"], "amount": 4_000}), with_key)
    assert_money_adds_up()


@bounded
@given(body=JSON)
def test_any_json(client: SignedClient, body: Any) -> None:
    for path in (PAYMENTS, ORDERS, REFUNDS):
        _post(client, path, body, True)
    assert not Payment.objects.exists()


@bounded
@given(raw=st.binary(max_size=200))
def test_any_bytes(client: SignedClient, raw: bytes) -> None:
    for path in (PAYMENTS, ORDERS, REFUNDS):
        answer = client.request("POST", path, body=raw, idempotency_key=new_no("key"))
        assert_of_the_contract(answer, raw)
    assert not Payment.objects.exists()


@bounded
@given(
    query=st.dictionaries(
        st.sampled_from(
            "limit cursor status created_from created_to order_no channel payment_no"
            " type subject endpoint_id event_id".split()
        )
        | ANY_TEXT,
        ANY_TEXT | st.datetimes().map(str) | st.integers().map(str),
        max_size=3,
    )
)
def test_any_query_of_a_list(client: SignedClient, query: dict[str, str]) -> None:
    from urllib.parse import urlencode

    text = urlencode(query, errors="surrogatepass")
    for path in (PAYMENTS, ORDERS, REFUNDS, EVENTS, ENDPOINTS, DELIVERIES):
        assert_of_the_contract(client.get(f"{path}?{text}"), text.encode())

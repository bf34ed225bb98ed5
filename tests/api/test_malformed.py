"""Invalid requests: the answer is a 4xx of the contract that names the field, and nothing is written."""

import itertools
import json
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.shop import (
    ORDERS,
    PAYMENTS,
    REFUNDS,
    Body,
    authorized,
    data,
    error,
    new_no,
    opened,
    order_request,
    ordered,
    paid,
    payment_request,
)
from tests.support.signing import SignedClient
from tests.support.tables import row_counts
from tests.support.webhooks import DELIVERIES, ENDPOINTS, EVENTS, registered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

HOOK = "http://127.0.0.1:8080/hook"
SURROGATE = "\ud800"
NOT_TEXT: list[Any] = [5, 1.5, True, None, [], {}, ["x"]]
NOT_AMOUNTS: list[Any] = [
    0, -1, 1.0, 10_000.5, True, False, None, "", "10000", "1e3", "abc", [], {}, [10_000],
    10**12, 10**18, 2**63, 10**30, -(10**30), 10**4_000,
]  # fmt: skip
NOT_WHOLE: list[Any] = [1.0, True, None, "60", [], {}, -1, 0, 10**30]
UNSTORABLE = ["\0", "a\0b", SURROGATE, f"a{SURROGATE}b"]
NOT_ADDRESSES: list[Any] = [
    "x", "//shop.example", "/callback", "ftp://shop.example", "javascript:alert(1)", "http://", "http:///path",
    "http://user@shop.example", "http://user:pass@shop.example", "http://shop.example:99999", "http://[::1",
    "http://shop .example", "http://shop.example/\nx", "http://shop.example/\u202e", "http://shop.example:0",
    "http://a\\@shop.example/", "http://" + "x" * 2_000, *NOT_TEXT,
]  # fmt: skip


# No name server is queried for these.
NOT_CALLED = [
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1]/", "http://[fc00::1]/", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0/", "http://2130706433/",
    "http://0x7f000001/", "http://127.1/", "http://shop.example:22/", "http://shop.example:6379/",
    "http://shop.example/#fragment",
]  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """A write with a valid `body`, its required fields, and invalid values of each field."""

    path: str
    body: Body
    needs: tuple[str, ...]
    wrong: dict[str, list[Any]]
    method: str = "POST"


def _item(**changes: Any) -> list[Body]:
    return [{"name": "Tea", "quantity": 1, "unit_amount": 10_000, **changes}]


ITEMS_WRONG: dict[str, list[Any]] = {
    "items": [
        None, {}, "x", 5, [], [None], ["x"], [[]], [{}], _item(unit_amount=9_999), _item(quantity=2), _item() * 2,
        _item() * 101, _item(quantity=1_000_001), _item(quantity=10**30), _item(quantity=10**6, unit_amount=10**12 - 1),
        *[_item(unit_amount=value) for value in NOT_AMOUNTS],
        *[_item(quantity=value) for value in NOT_WHOLE],
        *[_item(name=value) for value in [*NOT_TEXT, "", "  ", "x" * 256]],
        _item(more=1), [{"name": "Tea", "quantity": 1}],
    ],
}  # fmt: skip
MONEY_WRONG: dict[str, list[Any]] = {
    "order_no": [*NOT_TEXT, "", " ", "a b", "a/b", "a?b", "a#b", "a%b", "a\nb", "x" * 65, "<b>", ".", ".."],
    "amount": NOT_AMOUNTS,
    "currency": [*NOT_TEXT, "", "US", "USDD", "XXX", "BTC", "$$$", "ＵＳＤ", "ΩSD", "uſd"],
    "subject": [*NOT_TEXT, "", "   ", "x" * 256],
    "metadata": [
        None, [], "x", 5, {"a": 1}, {"a": None}, {"a": True}, {"a": {}}, {"a": ["x"]}, {"a": "x" * 501},
        {"x" * 41: "a"}, {f"n{number}": "x" for number in range(21)},
        {"a\nb": "x"}, {"a\u202eb": "x"}, {"\x7f": "x"},
    ],
    **ITEMS_WRONG,
}  # fmt: skip
REASON_WRONG = {"reason": [*NOT_TEXT, "x" * 256]}
ENDPOINT_WRONG: dict[str, list[Any]] = {
    "url": [*NOT_ADDRESSES, *NOT_CALLED, ""],
    "description": [*NOT_TEXT, "x" * 256],
    "event_types": [
        None, {}, "x", "payment.created", 5, True, [5], [None], [[]], [{}], [""], ["payment.exploded"],
        ["webhook.test"], ["payment.created"] * 100, ["payment.created", "PAYMENT.CREATED"],
    ],
}  # fmt: skip
NOT_TIMES: list[Any] = [
    *NOT_TEXT, "", "x", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z", "99999-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", 10**30,
]  # fmt: skip


@pytest.fixture
def endpoints(client: SignedClient) -> list[Endpoint]:
    waiting, held, given, order = opened(client), authorized(client), paid(client), ordered(client)
    customer_wrong = [
        None, [], "x", {"id": 5}, {"id": ""}, {"email": "x"}, {"email": "a@b"}, {"email": 5}, {"name": True},
        {"phone": "1" * 41}, {"more": "x"}, {"email": "a@" + "b" * 250 + ".com"},
    ]  # fmt: skip
    return [
        Endpoint(
            PAYMENTS,
            payment_request(),
            ("order_no", "amount", "currency", "subject"),
            {
                **MONEY_WRONG,
                "channel": [*NOT_TEXT, "x" * 31],
                "body": [*NOT_TEXT, "x" * 2_001],
                "callback_url": [*NOT_ADDRESSES, *NOT_CALLED],
                "return_url": NOT_ADDRESSES,
                "customer": customer_wrong,
                "expires_in": [*NOT_WHOLE, 59, 7 * 24 * 3600 + 1],
                "capture_method": [*NOT_TEXT, "", "later", "MANUAL"],
            },
        ),
        Endpoint(ORDERS, order_request(), ("order_no", "amount", "currency", "subject"), MONEY_WRONG),
        Endpoint(
            REFUNDS,
            {"payment_no": given["payment_no"], "amount": 1},
            ("payment_no", "amount"),
            {"payment_no": [*NOT_TEXT, "", "x" * 41], "amount": NOT_AMOUNTS, **REASON_WRONG},
        ),
        Endpoint(f"{PAYMENTS}/{waiting['payment_no']}/cancel", {}, (), REASON_WRONG),
        Endpoint(f"{PAYMENTS}/{held['payment_no']}/capture", {}, (), {"amount": NOT_AMOUNTS}),
        Endpoint(f"{PAYMENTS}/{waiting['payment_no']}/sync", {}, (), {}),
        Endpoint(f"{ORDERS}/{order['order_no']}/cancel", {}, (), REASON_WRONG),
        Endpoint(f"/api/v1/channel/payments/{held['channel_trade_no']}/cancel", {}, (), REASON_WRONG),
        *_about_webhooks(client),
    ]


def _about_webhooks(client: SignedClient) -> list[Endpoint]:
    one = f"{ENDPOINTS}/{registered(client, HOOK)['id']}"
    delivery = data(client.post(f"{one}/test", {}))
    span = {"created_from": "2025-01-01T00:00:00Z", "created_to": "2025-01-02T00:00:00Z"}
    span_wrong = {
        "created_from": NOT_TIMES,
        "created_to": [*NOT_TIMES, "2025-01-01T00:00:00Z", "2024-01-01T00:00:00Z"],
    }
    status_wrong = [*NOT_TEXT, "", "deleted", "ENABLED", "paused"]
    change_wrong = {**ENDPOINT_WRONG, "status": status_wrong, "kind": ["callback"], "secret": ["whsec_mine"]}
    return [
        Endpoint(ENDPOINTS, {"url": HOOK}, ("url",), ENDPOINT_WRONG),
        Endpoint(one, {"description": "Main"}, (), change_wrong, "PATCH"),
        Endpoint(f"{one}/resend", span, (), span_wrong),
        Endpoint(f"{one}/rotate-secret", {}, (), {}),
        Endpoint(f"{one}/test", {}, (), {}),
        Endpoint(f"{ENDPOINTS}/callback/rotate-secret", {}, (), {}),
        Endpoint(f"{DELIVERIES}/{delivery['id']}/resend", {}, (), {}),
    ]


def send(
    client: SignedClient, path: str, body: bytes | Body | Any, method: str = "POST", **headers: str
) -> Any:
    """Sends a request with a new idempotency key, so that no nonce is stored: no row of any table may change."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.request(method, path, body=raw, idempotency_key=new_no("key"), **headers)


def refused(answer: Any, *codes: str, context: object = "") -> Body:
    body = json.loads(answer.content)
    assert answer.status_code == 400, (context, answer.status_code, body)
    assert body["error_code"] in codes, (context, body)
    details = error(answer, 400, body["error_code"])
    assert details, context
    for name, texts in details.items():
        assert name, (context, details)
        assert isinstance(texts, list), (context, details)
        assert all(isinstance(text, str) and text for text in texts), (context, details)
    return details


# --- Bodies -------------------------------------------------------------------------------------------------------


def _nested(levels: int) -> bytes:
    return b'{"metadata": ' + b"[" * levels + b"]" * levels + b"}"


BROKEN = [
    b"{", b"}", b"{]", b"[", b"x", b"'a'", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x', b'{"a" 1}', b'{"a": .5}',
    b'{"a": 1}{"a": 1}', b'{"a": 1 /* no */}', b'{"a": "\n"}', b'{"a": "\\x"}', b'{"a": tru}', b"\x00", b"{}\x00",
    b'{"amount": NaN}', b'{"amount": Infinity}', b'{"amount": -Infinity}', b"NaN", b'{"metadata": {"a": [NaN]}}',
    b"\xff", b'{"subject": "\xe6\xb5"}', b'{"subject": "\xed\xa0\x80"}', b'{"subject": "\xc0\x80"}', b"\xef\xbb\xbf{}",
    b'{"a": 01}',
    '{"amount": 1}'.encode("utf-16"), '{"amount": 1}'.encode("utf-16-le"), '{"subject": "é"}'.encode("latin-1"),
    b'{"subject": "a\\u0000b"}', b'{"a\\u0000b": 1}', b'{"metadata": {"a\\u0000": "x"}}',
    b'{"items": [{"name": "\\u0000"}]}',
    b'{"subject": "\\ud800"}', b'{"\\ud800": 1}', b'{"subject": "\\udc00\\ud800"}', b'{"metadata": {"a": ["\\ud83d"]}}',
    b'{"amount": 1, "amount": 2}', b'{"metadata": {"a": "1", "a": "2"}}', b'{"\\ud800": 1, "\\ud800": 2}',
    b'{"\\u0000": 1, "\\u0000": 2}',
    b'{"amount": ' + b"9" * 5_000 + b"}", b'{"amount": -' + b"9" * 5_000 + b"}",
    _nested(33), _nested(500), _nested(100_000), b"[" * 200_000, b'{"a":' * 100_000,
]  # fmt: skip
NO_OBJECT = [b"[]", b"[1, 2]", b"[{}]", b"null", b"true", b"1", b"1.5", b'"x"', b'""']


def test_invalid_json_is_refused_everywhere(client: SignedClient, endpoints: list[Endpoint]) -> None:
    before = row_counts()
    for endpoint, raw in itertools.product(endpoints, BROKEN):
        answer = send(client, endpoint.path, raw, endpoint.method)
        refused(answer, "malformed_body", context=(endpoint.path, raw[:60]))
    assert row_counts() == before


def test_json_other_than_an_object_is_refused_everywhere(
    client: SignedClient, endpoints: list[Endpoint]
) -> None:
    before = row_counts()
    for endpoint, raw in itertools.product(endpoints, NO_OBJECT):
        answer = send(client, endpoint.path, raw, endpoint.method)
        details = refused(answer, "validation_failed", context=(endpoint.path, raw))
        assert list(details) == ["body"], (endpoint.path, raw)
    assert row_counts() == before


def test_a_too_large_body_is_refused_everywhere(client: SignedClient, endpoints: list[Endpoint]) -> None:
    before = row_counts()
    for endpoint in endpoints:
        raw = json.dumps({**endpoint.body, "subject": "x" * 1024 * 1024}).encode()
        details = error(send(client, endpoint.path, raw, endpoint.method), 413, "body_too_large")
        assert details == {"limit_bytes": 1024 * 1024}
    assert row_counts() == before


def test_a_body_of_the_maximum_size_is_accepted(client: SignedClient, endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints[:1]:
        raw = json.dumps(endpoint.body).encode()
        assert send(client, endpoint.path, raw + b" " * (1024 * 1024 - len(raw))).status_code == 200


def test_another_content_type_is_refused_everywhere(client: SignedClient, endpoints: list[Endpoint]) -> None:
    before = row_counts()
    types = [
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "x",
        "application/json5",
    ]
    types += [
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonp",
        "application/merge-patch+json",
    ]
    for endpoint, content_type in itertools.product(endpoints, types):
        body = {**endpoint.body, "x": 1}
        answer = send(client, endpoint.path, body, endpoint.method, Content_Type=content_type)
        error(answer, 415, "unsupported_media_type")
    assert row_counts() == before


def test_a_body_with_many_field_names_is_parsed_quickly(client: SignedClient) -> None:
    """A megabyte of field names with one duplicate: the check takes linear, not quadratic time."""
    names = ",".join(f'"{number:x}":1' for number in range(90_000))
    raw = f"{{{names},{names[: names.index(',')]}}}".encode()
    assert len(raw) < 1024 * 1024
    began = time.process_time()
    refused(send(client, ORDERS, raw), "malformed_body")
    assert time.process_time() - began < 5


def test_an_empty_body_is_answered_with_the_missing_fields(
    client: SignedClient, endpoints: list[Endpoint]
) -> None:
    before = row_counts()
    for endpoint, raw in itertools.product(endpoints, (b"", b"{}", b" {} ")):
        if endpoint.needs:
            details = refused(send(client, endpoint.path, raw), "validation_failed", context=endpoint.path)
            assert set(details) == set(endpoint.needs)
    assert row_counts() == before


def test_a_number_above_the_largest_float_is_refused_as_an_amount(client: SignedClient) -> None:
    for raw in (b"1e400", b"-1e400", b"1E+99999", b"1.0", b"1e0", b"-0", b"0e5"):
        body = json.dumps(payment_request(amount="AMOUNT")).encode().replace(b'"AMOUNT"', raw)
        assert list(refused(send(client, PAYMENTS, body), "validation_failed", context=raw)) == ["amount"]


# --- Fields -------------------------------------------------------------------------------------------------------


def _wrong_bodies(endpoint: Endpoint) -> Iterator[tuple[str, Body]]:
    """Yields each wrong body with the field that the answer must name."""
    for name in endpoint.needs:
        yield name, {field: value for field, value in endpoint.body.items() if field != name}
    for name, values in endpoint.wrong.items():
        for value in values:
            yield name, {**endpoint.body, name: value}
    for name in ("unknown", "Amount", "amount ", "order_no\n", "__proto__", "id", "status", "x" * 10_000):
        yield name, {**endpoint.body, name: "x"}


def test_each_wrong_field_is_named_and_nothing_is_written(
    client: SignedClient, endpoints: list[Endpoint]
) -> None:
    before = row_counts()
    for endpoint in endpoints:
        for name, body in _wrong_bodies(endpoint):
            context = (endpoint.path, name, str(body.get(name, "left out"))[:80])
            answer = send(client, endpoint.path, body, endpoint.method)
            assert answer.status_code == 400, (context, answer.status_code, answer.content[:300])
            details = json.loads(answer.content)["details"]
            wrong = [field for field in details if field != name and not field.startswith(f"{name}.")]
            assert details, context
            assert not wrong, (context, details)
    assert row_counts() == before


def test_text_that_postgresql_cannot_store_is_refused_in_every_field(
    client: SignedClient, endpoints: list[Endpoint]
) -> None:
    before = row_counts()
    for endpoint in endpoints:
        for name, text in itertools.product(endpoint.wrong, UNSTORABLE):
            answer = send(client, endpoint.path, {**endpoint.body, name: text}, endpoint.method)
            details = refused(answer, "malformed_body", context=(endpoint.path, name))
            assert list(details) == [name]
    assert row_counts() == before


def test_the_position_inside_a_list_is_named(client: SignedClient) -> None:
    items = [*_item(unit_amount=5_000), *_item(unit_amount="5000")]
    details = refused(send(client, PAYMENTS, payment_request(items=items)), "validation_failed")
    assert list(details) == ["items.1.unit_amount"]
    details = refused(send(client, PAYMENTS, payment_request(customer={"email": "x"})), "validation_failed")
    assert list(details) == ["customer.email"]
    details = refused(
        send(client, PAYMENTS, payment_request(metadata={"a": "ok", "b": 1})), "validation_failed"
    )
    assert list(details) == ["metadata.b"]


def test_all_wrong_fields_are_named_at_once(client: SignedClient) -> None:
    body = payment_request(amount="1", currency="XXX", subject="", expires_in=1)
    details = refused(send(client, PAYMENTS, body), "validation_failed")
    assert set(details) == {"amount", "currency", "subject", "expires_in"}


def test_unusual_valid_values_are_accepted(client: SignedClient) -> None:
    """Shows that the requests above are refused for their wrong fields only."""
    for change in (
        {"amount": 1},
        {"amount": 999_999_999_999},
        {"currency": "jpy"},
        {"currency": "KWD"},
        {"subject": "😀 " + "测" * 250},
        {"body": "line\nline\ttab"},
        {"body": "", "callback_url": "", "return_url": ""},
        {"callback_url": "https://[2606:2800:220:1::1]:8443/a?b=c"},
        {"callback_url": "http://localhost:8080/callback"},
        {"return_url": "http://localhost:3000/return#paid"},
        {"metadata": {f"n{number}": "x" * 500 for number in range(20)}},
        {"metadata": {}},
        {"metadata": {"": ""}},
        {"customer": {}},
        {"expires_in": 60},
        {"expires_in": 7 * 24 * 3600},
        {"items": _item(unit_amount=100) * 100},
        {"items": _item(quantity=10_000, unit_amount=1)},
        {"order_no": "x" * 64},
    ):
        answer = send(client, PAYMENTS, payment_request(**change))
        assert answer.status_code == 200, (change, answer.content)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost:8080/callback", "http://[::1]:8080/", "http://a.localhost/"],
)
def test_a_loopback_callback_url_is_refused_off_the_local_stack(
    client: SignedClient, settings: Any, url: str
) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = False
    before = row_counts()
    details = refused(send(client, PAYMENTS, payment_request(callback_url=url)), "validation_failed")
    assert list(details) == ["callback_url"]
    assert row_counts() == before


def test_creating_a_payment_queries_no_name_server(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queried, real_getaddrinfo = [], socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        queried.append(host)
        return real_getaddrinfo(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    opened(client, callback_url="https://shop.example/callback")
    assert "shop.example" not in queried


# --- Lists and addresses --------------------------------------------------------------------------------------------


WRONG_QUERIES: dict[str, list[str]] = {
    "limit": ["0", "-1", "101", "1e2", "abc", "", "1.5", "NaN", "9" * 5_000, "0x10", "%00", "null"],
    "cursor": ["x", "", "0" * 45, "0" * 47, "f" * 32, "g" * 32, "%00", "x" * 65, "../../etc", "%F0%9F%98%80", "'--"],
    "created_from": ["x", "", "yesterday", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z", "0", "%00",
                     "99999-01-01T00:00:00Z", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"],
    "created_to": ["x", "2025-01-01T25:00:00Z"],
    "status": ["x", "", "PENDING", "pending,paid", "%00"],
    "unknown": ["x"],
    "Limit": ["5"],
    "page": ["1"],
}  # fmt: skip
WRONG_FILTERS = {
    PAYMENTS: {"order_no": ["", "x" * 65, "%00"], "channel": ["", "x" * 31, "%00"], "payment_no": ["x"]},
    REFUNDS: {"payment_no": ["", "x" * 41, "%00"], "order_no": ["x"]},
    ORDERS: {"order_no": ["x"], "channel": ["x"]},
    EVENTS: {"type": ["x", "", "%00", "payment"], "subject": ["", "x" * 65, "%00"], "merchant_id": ["x"]},
    ENDPOINTS: {"kind": ["callback"], "url": ["x"]},
    DELIVERIES: {name: ["x", "", "%00", "0" * 33, "7"] for name in ("endpoint_id", "event_id")},
}


def test_a_wrong_query_parameter_is_named(client: SignedClient) -> None:
    opened(client)
    for path, filters in WRONG_FILTERS.items():
        for name, values in {**WRONG_QUERIES, **filters}.items():
            for value in values:
                details = refused(
                    client.get(f"{path}?{name}={value}"), "validation_failed", context=(path, name, value)
                )
                assert list(details) == [name], (path, value, details)


def test_unusual_valid_query_parameters_are_accepted(client: SignedClient) -> None:
    payment = opened(client)
    times = (
        "created_from=2020-01-01T00:00:00%2B08:00",
        "created_from=0001-01-01T00:00:00Z",
    )
    for query in (*times, "limit=1", "limit=100", f"order_no={payment['order_no']}", "cursor=" + "f" * 46):
        assert len(data(client.get(f"{PAYMENTS}?{query}"))["items"]) == 1, query


ODD_NAMES = [
    "x",
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "..%2F..%2Fetc",
    "x" * 5_000,
    "'%20OR%201=1--",
    "%F0%9F%98%80",
    "%0A",
    "%E2%80%AE",
]


def test_an_unknown_path_is_404(client: SignedClient) -> None:
    before = row_counts()
    gets = (f"{PAYMENTS}/{{}}", f"{REFUNDS}/{{}}", f"{ORDERS}/{{}}", "/api/v1/merchant/api-keys/{}",
            f"{EVENTS}/{{}}", f"{ENDPOINTS}/{{}}", f"{DELIVERIES}/{{}}")  # fmt: skip
    posts = (f"{PAYMENTS}/{{}}/cancel", f"{PAYMENTS}/{{}}/capture", f"{PAYMENTS}/{{}}/sync", f"{ORDERS}/{{}}/cancel",
             "/api/v1/channel/payments/{}/cancel", "/api/v1/merchant/api-keys/{}/revoke",
             *(f"{ENDPOINTS}/{{}}/{act}" for act in ("rotate-secret", "test", "resend")),
             f"{DELIVERIES}/{{}}/resend")  # fmt: skip
    for name in [*ODD_NAMES, str(uuid.uuid4())]:
        for address in gets:
            error(client.get(address.format(name)), 404, "not_found")
        for address in posts:
            error(send(client, address.format(name), {}), 404, "not_found")
    for address in (
        "/api/v1/",
        "/api/v1",
        "/api/",
        "/api/v1/nothing",
        "/api/v2/payments",
        f"{PAYMENTS}/",
        "/api/v1/payments//cancel",
    ):
        error(client.get(address), 404, "not_found")
        error(send(client, address, {}), 404, "not_found")
    assert row_counts() == before


def test_an_empty_trade_no_finds_no_payment(client: SignedClient) -> None:
    """Payments whose creation was never answered have no trade number: an empty one must not find them."""
    data(client.post(PAYMENTS, payment_request("timeout_before")), 202)
    for empty in ("%20", "%09", '""'):
        error(send(client, f"/api/v1/channel/payments/{empty}/cancel", {}), 404, "not_found")


def _methods_about_webhooks(client: SignedClient) -> dict[str, tuple[str, ...]]:
    one = f"{ENDPOINTS}/{registered(client, HOOK)['id']}"
    delivery = data(client.post(f"{one}/test", {}))
    acts = [f"{one}/{act}" for act in ("rotate-secret", "test", "resend")]
    acts += [f"{ENDPOINTS}/callback/rotate-secret", f"{DELIVERIES}/{delivery['id']}/resend"]
    return {
        EVENTS: ("GET", "HEAD"),
        f"{EVENTS}/{delivery['event_id']}": ("GET", "HEAD"),
        ENDPOINTS: ("GET", "HEAD", "POST"),
        one: ("GET", "HEAD", "PATCH", "DELETE"),
        DELIVERIES: ("GET", "HEAD"),
        f"{DELIVERIES}/{delivery['id']}": ("GET", "HEAD"),
        **dict.fromkeys(acts, ("POST",)),
    }


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def test_other_methods_are_405_with_the_allowed_ones(client: SignedClient) -> None:
    payment, order = paid(client), ordered(client)
    made = data(send(client, REFUNDS, {"payment_no": payment["payment_no"], "amount": 1}))
    one = f"{PAYMENTS}/{payment['payment_no']}"
    known = {
        PAYMENTS: ("GET", "HEAD", "POST"),
        REFUNDS: ("GET", "HEAD", "POST"),
        ORDERS: ("GET", "HEAD", "POST"),
        one: ("GET", "HEAD"),
        f"{REFUNDS}/{made['refund_no']}": ("GET", "HEAD"),
        f"{ORDERS}/{order['order_no']}": ("GET", "HEAD"),
        f"{one}/cancel": ("POST",),
        f"{one}/capture": ("POST",),
        f"{one}/sync": ("POST",),
        f"{ORDERS}/{order['order_no']}/cancel": ("POST",),
        f"/api/v1/channel/payments/{payment['channel_trade_no']}/cancel": ("POST",),
        **_methods_about_webhooks(client),
    }
    before = row_counts()
    for path, methods in known.items():
        for method in METHODS:
            if method in methods:
                continue
            answer = client.request(method, path, body=b"{}", idempotency_key=new_no("key"))
            assert answer.status_code == 405, (method, path, answer.status_code)
            assert answer["X-Request-Id"]
            if method != "HEAD":
                error(answer, 405, "method_not_allowed")
            assert set(methods) - {"HEAD"} <= {name.strip() for name in answer["Allow"].split(",")}, (
                method,
                path,
            )
        if "GET" in methods:
            head = client.request("HEAD", path)
            assert (head.status_code, head.content) == (200, b""), path
    # DELETE stores a nonce with every answer.
    assert {**row_counts(), "request_nonces": 0} == {**before, "request_nonces": 0}

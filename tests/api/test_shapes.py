"""The format that all answers share."""

import json
import re

import pytest
from django.db import connection
from django.test import Client

from common.api import renderers
from tests.support.shop import ORDERS, PAYMENTS, REFUNDS, create, data, error, new_no, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def test_every_answer_has_a_request_id(client: SignedClient) -> None:
    payment = opened(client)
    answers = [
        client.get(PAYMENTS),
        client.get(f"{PAYMENTS}/{payment['payment_no']}"),
        create(client, amount=0),
        create(client, "decline"),
        client.get("/api/v1/nothing"),
        client.request("PUT", PAYMENTS),
        client.get(PAYMENTS, X_Signature=None),
        Client().get("/healthz"),
        Client().get("/nothing"),
        Client().get("/api/schema"),
    ]
    numbers = [answer["X-Request-Id"] for answer in answers]
    assert all(re.fullmatch(r"req_[0-9a-f]{24}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_a_harmless_request_id_of_the_caller_is_kept(client: SignedClient) -> None:
    assert client.get(PAYMENTS, X_Request_Id="trace-0001.A_b")["X-Request-Id"] == "trace-0001.A_b"
    answer = client.get("/api/v1/nothing", X_Request_Id="trace-0002")
    assert json.loads(answer.content)["request_id"] == answer["X-Request-Id"] == "trace-0002"
    for offered in (
        "short",
        "x" * 65,
        "with space in it",
        "<script>alert(1)</script>",
        "line\nbreak-line",
        "测试测试测试",
    ):
        assert client.get(PAYMENTS, X_Request_Id=offered)["X-Request-Id"].startswith("req_")


def test_texts_are_chinese_unless_english_is_requested(client: SignedClient) -> None:
    payment = paid(client)

    def text(**headers: str) -> str:
        answer = client.post(REFUNDS, {"payment_no": payment["payment_no"], "amount": 10_001}, **headers)
        error(answer, 422, "refund_exceeds_payment")
        return json.loads(answer.content)["error"]

    english = text(Accept_Language="en")
    assert english == "The refunds exceed the payment amount"
    assert text(Accept_Language="en-GB,en;q=0.9,zh;q=0.1") == english
    for headers in ({}, {"Accept_Language": "zh-CN"}, {"Accept_Language": "de"}, {"Accept_Language": "*"}):
        assert text(**headers) == "退款总额超过支付金额", headers


def test_chinese_is_readable_in_the_bytes(client: SignedClient) -> None:
    assert "测试支付".encode() in create(client, subject="测试支付").content


def test_times_are_rfc_3339_in_utc(client: SignedClient) -> None:
    payment = paid(client)
    for name in ("created_at", "expires_at", "paid_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payment[name]), name


def test_another_response_type_is_refused(client: SignedClient) -> None:
    error(client.get(PAYMENTS, Accept="text/html"), 406, "not_acceptable")
    for accept in ("*/*", "application/json", "text/html, */*;q=0.1", "application/*"):
        data(client.get(PAYMENTS, Accept=accept))


def test_an_unexpected_error_reveals_nothing(client: SignedClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE refunds RENAME TO refunds_hidden_secret")
    try:
        for answer in (
            client.get(REFUNDS),
            client.get(f"{REFUNDS}/REF-1"),
            refund(client, paid(client), 1, key=new_no("key")),
        ):
            assert error(answer, 500, "internal_error") == {}
            for secret in (b"relation", b"refunds", b"Traceback", b"psycopg", b"SELECT"):
                assert secret not in answer.content
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE refunds_hidden_secret RENAME TO refunds")
    assert data(client.get(REFUNDS))["items"] == []


def test_a_page_is_the_same_bytes_as_its_data(client: SignedClient) -> None:
    """Lists and single objects use one renderer."""
    payment = opened(client)
    (listed,) = data(client.get(PAYMENTS))["items"]
    single = data(client.get(f"{PAYMENTS}/{payment['payment_no']}"))
    assert listed == payment == {name: single[name] for name in payment}
    details = {"attempts", "captures", "authorization_increments", "disputes"}
    assert single.keys() - payment.keys() == details
    assert renderers.to_json(listed) in client.get(PAYMENTS).content
    assert data(client.get(ORDERS))["next_cursor"] is None

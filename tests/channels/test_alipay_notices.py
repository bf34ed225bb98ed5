"""Asynchronous notices: only those that Alipay signed for our application and seller count. What each kind reports."""

import json
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from channels.alipay.channel import AlipayChannel
from channels.base import (
    ChannelPayment,
    PaymentState,
    RefundedPayment,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from tests.support.alipay.account import ACCOUNT, CREDENTIALS, build_notice, encode_notice


def _parse(body: bytes) -> WebhookEvent:
    return AlipayChannel().parse_webhook(ACCOUNT, WebhookRequest(body, {}))


def _parse_notice(**changes: str) -> WebhookEvent:
    return _parse(encode_notice(build_notice(**changes)))


def test_a_payment_is_reported_with_our_number_and_acknowledged_with_the_bare_word() -> None:
    event = _parse_notice()
    assert event.event_id == "2026112800222123500000000000000001"
    assert event.event_type == "trade_status_sync.TRADE_SUCCESS"
    assert event.updates == (
        ChannelPayment(
            reference="PAY-20261128-000001",
            channel_trade_no="2026112822001400000000000001",
            state=PaymentState.PAID,
            amount_minor=8888,
            currency="CNY",
            captured_minor=8888,
        ),
    )
    assert event.acknowledgement is not None
    assert (event.acknowledgement.status, event.acknowledgement.body) == (200, b"success")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"trade_status": "WAIT_BUYER_PAY", "gmt_payment": ""}, PaymentState.OPEN),
        ({"trade_status": "TRADE_FINISHED"}, PaymentState.PAID),
        ({"trade_status": "TRADE_CLOSED", "gmt_payment": ""}, PaymentState.CANCELLED),
        ({"trade_status": "TRADE_SUCCESS", "refund_fee": "0.00"}, PaymentState.PAID),
    ],
)
def test_each_status_of_a_trade(changes: dict[str, str], state: PaymentState) -> None:
    (update,) = _parse_notice(**changes).updates
    assert isinstance(update, ChannelPayment)
    assert update.state == state
    assert update.captured_minor == (8888 if state == PaymentState.PAID else 0)


@pytest.mark.parametrize(("status", "sum_refunded"), [("TRADE_SUCCESS", "8.88"), ("TRADE_CLOSED", "88.88")])
def test_a_refund_notice_reports_the_payment_as_paid_and_names_the_refund(
    status: str, sum_refunded: str
) -> None:
    """A trade that was refunded completely is closed, as one that was never paid. The refunds tell them apart."""
    payment, refunded = _parse_notice(
        trade_status=status,
        refund_fee=sum_refunded,
        gmt_refund="2026-11-28 13:00:00.123",
        out_biz_no="REF_20261128_000007",
    ).updates
    assert isinstance(payment, ChannelPayment)
    assert (payment.state, payment.captured_minor) == (PaymentState.PAID, 8888)
    number = "2026112822001400000000000001"
    assert refunded == RefundedPayment("test", number, f"{number}:REF_20261128_000007")


def test_a_notice_of_another_kind_is_only_acknowledged() -> None:
    event = _parse_notice(notify_type="fund_auth_freeze", trade_status="", total_amount="")
    assert event.updates == ()
    assert event.acknowledgement is not None


def test_the_stored_notice_has_neither_signature_nor_buyer() -> None:
    record = json.loads(_parse_notice(buyer_logon_id="138****0000", buyer_id="2088").record or b"")
    assert record["out_trade_no"] == "PAY_20261128_000001"
    assert not record.keys() & {"sign", "buyer_logon_id", "buyer_id"}


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": "2021000000000002"},
        {"app_id": ""},
        {"seller_id": "2088000000000002"},
        {"trade_status": "TRADE_REINVENTED"},
        {"trade_status": ""},
        {"total_amount": ""},
        {"total_amount": "88.881"},
        {"total_amount": "-"},
        {"total_amount": "1e3"},
        {"total_amount": "NaN"},
        {"total_amount": "八"},
        {"refund_fee": "x"},
        {"out_trade_no": ""},
        {"trade_no": ""},
        {"notify_id": ""},
        {"notify_id": "n" * 256},
        {"notify_type": ""},
        {"sign_type": "RSA"},
    ],
    ids=str,
)
def test_a_signed_notice_for_another_app_or_with_an_invalid_field_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(WebhookRefused):
        _parse_notice(**changes)


@pytest.mark.parametrize(
    "name", ["total_amount", "out_trade_no", "trade_status", "seller_id", "app_id", "sign"]
)
def test_a_changed_field_breaks_the_signature(name: str) -> None:
    fields = build_notice()
    fields[name] += "0"
    with pytest.raises(WebhookRefused):
        _parse(encode_notice(fields))


@pytest.mark.parametrize("name", ["sign", "sign_type"])
def test_a_notice_without_a_signature_is_refused(name: str) -> None:
    fields = build_notice()
    del fields[name]
    with pytest.raises(WebhookRefused):
        _parse(encode_notice(fields))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"=",
        b"sign=%FF",
        b"\xff\xfe",
        b"{}",
        "总=1".encode(),
        b"&".join(b"n%d=1" % number for number in range(1000)),
        urlencode({"sign": "€", "sign_type": "RSA2"}).encode(),
        encode_notice(build_notice()) + b"&total_amount=1.00",  # a second amount
        encode_notice(build_notice()) + b"&added=",
        encode_notice(build_notice(subject="\x00")).replace(b"%00", b""),
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        _parse(body)


def test_text_that_the_database_cannot_hold_is_recorded_escaped() -> None:
    assert b"\\\\u0000" in (_parse_notice(subject="a\x00b").record or b"")


def test_an_account_without_keys_refuses_every_notice() -> None:
    empty = replace(ACCOUNT, credentials={})
    assert not AlipayChannel().can_receive_webhooks(empty)
    for credentials in (
        {},
        {**CREDENTIALS, "alipay_public_key": "no key"},
        {**CREDENTIALS, "seller_id": "1"},
    ):
        with pytest.raises(WebhookRefused):
            AlipayChannel().parse_webhook(
                replace(ACCOUNT, credentials=credentials), WebhookRequest(encode_notice(build_notice()), {})
            )

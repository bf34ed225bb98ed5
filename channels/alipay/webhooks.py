"""Verifies and reads asynchronous notices, which Alipay posts as a form (docs.open.alipay.com/270/105902).

Alipay repeats a notice for 25 hours, until the answer is the bare word `success`. The platform compares
`out_trade_no` and `total_amount` with the payment; signature, application and seller are checked here.
"""

import json
from urllib.parse import parse_qsl

from channels.alipay import signing
from channels.alipay.amounts import from_yuan
from channels.alipay.config import AlipayCredentials
from channels.alipay.fields import AlipayFields, read_text
from channels.alipay.refunds import build_refund_no
from channels.alipay.trades import read_trade
from channels.base import (
    Acknowledgement,
    ChannelUpdate,
    RefundedPayment,
    UnexpectedFormat,
    WebhookEvent,
    WebhookRefused,
)
from channels.payloads import make_storable

ACKNOWLEDGEMENT = Acknowledgement(b"success")
TRADE_NOTICE = "trade_status_sync"
MAX_FIELDS = 200
MAX_ID = 255
# Not stored: the signature proves nothing later, and the buyer's names are not ours to keep.
_NOT_RECORDED = frozenset({"sign", "buyer_logon_id", "buyer_id", "buyer_open_id", "fund_bill_list"})


def parse_notice(credentials: AlipayCredentials, environment: str, body: bytes) -> WebhookEvent:
    """Raises `WebhookRefused` unless Alipay signed the notice, for our application and seller."""
    fields = _read_form(body)
    if not signing.is_notice_signed(fields, credentials.alipay_public_keys):
        raise WebhookRefused("wrong signature")
    if fields.get("app_id") != credentials.app_id:
        raise WebhookRefused("signed for another application")
    # The table of the documentation calls the seller optional.
    if fields.get("seller_id", credentials.seller_id) != credentials.seller_id:
        raise WebhookRefused("signed for another seller")
    try:
        return _read_notice(fields, environment)
    except UnexpectedFormat as error:
        raise WebhookRefused(f"not of a known shape: {error}") from error


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise WebhookRefused("not a form in UTF-8") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise WebhookRefused("a field occurs twice")
    return fields


def _read_notice(fields: dict[str, str], environment: str) -> WebhookEvent:
    notice_id, notice_type = read_text(fields, "notify_id"), read_text(fields, "notify_type")
    if len(notice_id) > MAX_ID:
        raise UnexpectedFormat("notify_id is too long")
    updates = tuple(_read_updates(fields, environment)) if notice_type == TRADE_NOTICE else ()
    recorded = {name: value for name, value in fields.items() if name not in _NOT_RECORDED}
    return WebhookEvent(
        event_id=str(make_storable(notice_id)),
        event_type=f"{notice_type}.{fields.get('trade_status', '')}".rstrip("."),
        updates=updates,
        record=json.dumps(make_storable(recorded), ensure_ascii=False).encode(),
        acknowledgement=ACKNOWLEDGEMENT,
    )


def _read_updates(fields: AlipayFields, environment: str) -> list[ChannelUpdate]:
    """A notice about a refund also reports the payment.

    A refund notice has the sum of all refunds (`refund_fee`) and the number of the one it is about (`out_biz_no`), not
    its amount: the platform queries that refund. A trade that closed without a payment has neither.
    """
    is_refunded = from_yuan(fields.get("refund_fee") or "0") > 0
    payment = read_trade(fields, is_paid=is_refunded or bool(fields.get("gmt_payment")))
    if not is_refunded:
        return [payment]
    request_no = fields.get("out_biz_no") or read_text(fields, "out_trade_no")
    refund_no = build_refund_no(payment.channel_trade_no, request_no)
    return [payment, RefundedPayment(environment, payment.channel_trade_no, refund_no)]

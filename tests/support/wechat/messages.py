"""Requests to the channel, and answers of WeChat Pay, as its documentation shows them."""

import json
from dataclasses import replace
from typing import Any

from channels.base import ChannelAccount, CreatePayment, CreateRefund, PaymentRef
from tests.support.channels import build_creation
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.wechat import keys
from tests.support.wechat.keys import build_account

CODE_URL = "weixin://wxpay/bizpayurl/up?pr=NwY5Mz9&groupid=00"
REFERENCE = "PAY-20261128-000001-2"


def build_order(**changes: Any) -> CreatePayment:
    changes = {"reference": REFERENCE, "account": build_account(), "currency": "CNY", **changes}
    return build_creation(**changes)


def build_ref(account: ChannelAccount | None = None, **changes: Any) -> PaymentRef:
    return replace(PaymentRef(REFERENCE, account or build_account(), PATIENCE_SECONDS), **changes)


def build_refund() -> CreateRefund:
    return CreateRefund("k", "REF-20261128-000001", build_ref(), 300, "CNY", "wrong size", 10_000)


def order_body(trade_state: str, **changes: Any) -> str:
    """The answer of a query (pay.weixin.qq.com/doc/v3/merchant/4013070356)."""
    fields = {
        "appid": keys.APP_ID,
        "mchid": keys.MERCHANT_ID,
        "out_trade_no": REFERENCE,
        "trade_state": trade_state,
        "trade_state_desc": "…",
        "amount": {"total": 10_000, "payer_total": 10_000, "currency": "CNY", "payer_currency": "CNY"},
    }
    if trade_state in ("NOTPAY", "CLOSED"):
        del fields["amount"]
    if trade_state in ("SUCCESS", "REFUND"):
        fields |= {"transaction_id": "1217752501201407033233368018", "trade_type": "NATIVE"}
    return json.dumps(fields | changes)


def refund_body(status: str, **changes: Any) -> str:
    fields = {
        "refund_id": "50000000382019052709732678859",
        "out_refund_no": "REF-20261128-000001",
        "transaction_id": "1217752501201407033233368018",
        "out_trade_no": REFERENCE,
        "channel": "ORIGINAL",
        "user_received_account": "招商银行信用卡0403",
        "create_time": "2020-12-01T16:18:12+08:00",
        "status": status,
        "amount": {
            "total": 10_000,
            "refund": 300,
            "payer_total": 10_000,
            "payer_refund": 300,
            "currency": "CNY",
        },
    }
    return json.dumps(fields | changes)


def error_body(code: str, **changes: Any) -> str:
    return json.dumps({"code": code, "message": "…", **changes})

"""Webhooks of WeChat Pay: they are verified over the raw bytes, decrypted, and refused when invalid."""

import json
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from channels.base import (
    ChannelAccount,
    ChannelPayment,
    ChannelRefund,
    PaymentState,
    RefundState,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.wechat.channel import WechatChannel
from tests.support.wechat import keys
from tests.support.wechat.keys import build_account
from tests.support.wechat.server import PlannedServer, sign_headers

channel = WechatChannel()

TRANSACTION = {
    "mchid": keys.MERCHANT_ID,
    "appid": keys.APP_ID,
    "out_trade_no": "PAY-20261128-000001",
    "transaction_id": "1217752501201407033233368018",
    "trade_type": "NATIVE",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "CMC",
    "success_time": "2026-11-28T10:34:56+08:00",
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    "amount": {"total": 100, "payer_total": 90, "currency": "CNY", "payer_currency": "CNY"},
}
# The resource of pay.weixin.qq.com/doc/v3/merchant/4012791865, without a currency.
REFUND = {
    "mchid": keys.MERCHANT_ID,
    "out_trade_no": "PAY-20261128-000001",
    "transaction_id": "1217752501201407033233368018",
    "out_refund_no": "REF-20261128-000001",
    "refund_id": "50200207182018070300011301001",
    "refund_status": "SUCCESS",
    "success_time": "2026-11-28T10:34:56+08:00",
    "user_received_account": "招商银行信用卡0403",
    "amount": {"total": 100, "refund": 30, "payer_total": 90, "payer_refund": 27},
}


def build_body(decrypted: Any, event: str = "TRANSACTION.SUCCESS", **changes: Any) -> bytes:
    plain = json.dumps(decrypted, ensure_ascii=False).encode()
    notification = {
        "id": "EV-2018022511223320873",
        "create_time": "2026-11-28T10:34:56+08:00",
        "resource_type": "encrypt-resource",
        "event_type": event,
        "summary": "支付成功",
        "resource": keys.encrypt(plain, original_type=event.partition(".")[0].lower()),
        **changes,
    }
    return json.dumps(notification, ensure_ascii=False).encode()


def parse(
    body: bytes, headers: dict[str, str] | None = None, account: ChannelAccount | None = None
) -> WebhookEvent:
    signed = sign_headers(body) if headers is None else headers
    return channel.parse_webhook(account or build_account(), WebhookRequest(body, signed))


def test_a_payment() -> None:
    event = parse(build_body(TRANSACTION))
    assert (event.event_id, event.event_type) == ("EV-2018022511223320873", "TRANSACTION.SUCCESS")
    (update,) = event.updates
    assert isinstance(update, ChannelPayment)
    assert (update.reference, update.channel_trade_no) == (
        "PAY-20261128-000001",
        "1217752501201407033233368018",
    )
    # The amount of the order, not what the customer paid after a coupon.
    assert (update.state, update.amount_minor, update.captured_minor) == (PaymentState.PAID, 100, 100)
    assert update.payment_method == "wechat_native"


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        ("SUCCESS", RefundState.SUCCEEDED, ""),
        ("CLOSED", RefundState.FAILED, "refund_closed"),
        ("ABNORMAL", RefundState.PENDING, "refund_abnormal"),
    ],
)
def test_a_refund(status: str, state: RefundState, code: str) -> None:
    event = parse(build_body({**REFUND, "refund_status": status}, f"REFUND.{status}"))
    (update,) = event.updates
    assert isinstance(update, ChannelRefund)
    assert (update.state, update.failure_code) == (state, code)
    assert (update.amount_minor, update.currency, update.environment) == (30, "CNY", "test")
    assert (update.reference, update.payment_reference) == ("REF-20261128-000001", "PAY-20261128-000001")


def test_an_event_that_we_do_not_use_is_acknowledged() -> None:
    event = parse(build_body({"mchid": keys.MERCHANT_ID, "complaint_id": "1"}, "COMPLAINT.CREATE"))
    assert event.updates == ()
    assert event.acknowledgement is not None


def test_it_is_acknowledged_as_wechat_pay_wants_it() -> None:
    acknowledgement = parse(build_body(TRANSACTION)).acknowledgement
    assert acknowledgement is not None
    assert (acknowledgement.status, acknowledgement.content_type) == (200, "application/json")
    assert json.loads(acknowledgement.body) == {"code": "SUCCESS", "message": "成功"}


def test_the_stored_payload_is_decrypted_and_has_no_openid() -> None:
    record = parse(build_body(TRANSACTION)).record
    assert record is not None
    stored = json.loads(record)
    assert stored["resource"]["transaction_id"] == TRANSACTION["transaction_id"]
    assert (stored["id"], stored["event_type"]) == ("EV-2018022511223320873", "TRANSACTION.SUCCESS")
    assert "ciphertext" not in record.decode()
    assert "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" not in record.decode()


def test_a_probe_is_refused_without_a_warning() -> None:
    body = build_body(TRANSACTION)
    headers = {**sign_headers(body), "Wechatpay-Signature": "WECHATPAY/SIGNTEST/abc"}
    with capture_logs() as logs, pytest.raises(WebhookRefused, match="probe"):
        parse(body, headers)
    assert [(each["event"], each["log_level"]) for each in logs] == [
        ("wechat.signature_probe_refused", "info")
    ]


@pytest.mark.parametrize("seconds", [-301, 400])
def test_an_old_webhook_and_one_from_the_future(seconds: int) -> None:
    body = build_body(TRANSACTION)
    with pytest.raises(WebhookRefused, match="five minutes"):
        parse(body, sign_headers(body, timestamp=int(time.time()) + seconds))


def test_header_names_are_compared_without_regard_to_case() -> None:
    body = build_body(TRANSACTION)
    lower = {name.lower(): value for name, value in sign_headers(body).items()}
    assert parse(body, lower).updates


@pytest.mark.parametrize(
    "headers",
    [
        {"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"},
        {"Wechatpay-Serial": "PUB_KEY_ID_OTHER"},
        {"Wechatpay-Nonce": ""},
        {"Wechatpay-Timestamp": "9" * 40},
        {"Wechatpay-Timestamp": "²"},
    ],
)
def test_invalid_headers_are_refused(headers: dict[str, str]) -> None:
    body = build_body(TRANSACTION)
    with pytest.raises(WebhookRefused):
        parse(body, {**sign_headers(body), **headers})


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"{}",
        b'{"resource": 1}',
        b"[" * 5000,
        build_body(TRANSACTION, id=""),
        build_body(TRANSACTION, id="x" * 37),
        build_body(TRANSACTION, event_type=7),
        build_body(TRANSACTION, resource={"algorithm": "AEAD_AES_256_GCM"}),
        build_body(TRANSACTION, resource={**keys.encrypt(b"{}", original_type="a"), "nonce": "x"}),
        build_body([]),
        build_body("text"),
        build_body({**TRANSACTION, "mchid": "1900000999"}),
        build_body({**TRANSACTION, "amount": {"total": "100"}}),
        build_body({**TRANSACTION, "amount": {"total": True}}),
        build_body({**TRANSACTION, "amount": {"total": -1}}),
        build_body({**TRANSACTION, "amount": None}),
        build_body({**TRANSACTION, "trade_state": ["SUCCESS"]}),
        build_body({**TRANSACTION, "out_trade_no": None}),
        build_body({**REFUND, "refund_status": "DONE"}, "REFUND.SUCCESS"),
        build_body({**REFUND, "refund_id": 5}, "REFUND.SUCCESS"),
    ],
)
def test_a_signed_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        parse(body)


def test_a_webhook_that_another_apiv3_key_encrypted() -> None:
    """The merchant has changed the APIv3 key at WeChat Pay but not here."""
    account = build_account(credentials=keys.build_credentials(api_v3_key="n" * 32))
    with capture_logs() as logs, pytest.raises(WebhookRefused):
        parse(build_body(TRANSACTION), account=account)
    assert logs[0]["event"] == "wechat.webhook_not_decrypted"


def test_the_previous_credentials_are_accepted_during_a_rotation() -> None:
    new = keys.build_credentials(
        api_v3_key="n" * 32, public_key_id="PUB_KEY_ID_NEW", public_key=keys.public_pem("other")
    )
    account = build_account(credentials=new, previous_credentials=keys.build_credentials())
    assert parse(build_body(TRANSACTION), account=account).updates


def test_a_certificate_is_downloaded_to_verify_a_webhook(planned: PlannedServer) -> None:
    """While an account switches to the public key, WeChat Pay signs some webhooks with the certificate."""
    body, certificate = build_body(TRANSACTION), keys.make_certificate("platform")
    planned.plan(200, keys.build_certificates_answer(certificate), headers={})
    for _ in range(2):
        assert parse(
            body, sign_headers(body, owner="platform", serial_no=keys.serial_no(certificate))
        ).updates


def test_a_forged_serial_number_costs_one_download_a_minute(planned: PlannedServer) -> None:
    body = build_body(TRANSACTION)
    planned.plan(200, keys.build_certificates_answer(keys.make_certificate("platform")), headers={})
    for number in range(3):
        with pytest.raises(WebhookRefused):
            parse(body, sign_headers(body, owner="other", serial_no=f"ABCDEF{number}"))
    assert len(planned.requests) == 1


def test_without_certificates_a_webhook_is_refused_and_comes_again(planned: PlannedServer) -> None:
    body = build_body(TRANSACTION)
    planned.plan(500, is_lost=True)
    with pytest.raises(WebhookRefused, match="platform certificates"):
        parse(body, sign_headers(body, owner="platform", serial_no="ABCDEF"))

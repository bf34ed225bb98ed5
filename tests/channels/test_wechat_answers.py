"""What answers of WeChat Pay mean: their codes, their signatures, and answers that are lost."""

import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from channels.base import (
    CancelPayment,
    ChannelAccount,
    CreatePayment,
    CreateRefund,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    Customer,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotProcessed,
    PaymentRef,
    PaymentState,
    QrCodeAction,
    RedirectAction,
    RefundRef,
    RefundState,
    Reported,
    SdkAction,
    UnknownOutcome,
)
from channels.wechat.channel import WechatChannel
from tests.support.channels import build_creation
from tests.support.wechat import keys
from tests.support.wechat.keys import WEBHOOK_URL, build_account
from tests.support.wechat.server import PlannedServer, sign_headers

CODE_URL = "weixin://wxpay/bizpayurl/up?pr=NwY5Mz9&groupid=00"
REFERENCE = "PAY-20261128-000001-2"
channel = WechatChannel()


def build_order(**changes: Any) -> CreatePayment:
    changes = {"reference": REFERENCE, "account": build_account(), "currency": "CNY", **changes}
    return build_creation(**changes)


def build_ref(account: ChannelAccount | None = None, **changes: Any) -> PaymentRef:
    return replace(PaymentRef(REFERENCE, account or build_account(), 5.0), **changes)


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


OPERATIONS: dict[str, Callable[[], object]] = {
    "create": lambda: channel.create_payment(build_order()),
    "query": lambda: channel.find_payment(build_ref()),
    "refund": lambda: channel.refund_payment(build_refund()),
    "query refund": lambda: channel.find_refund(RefundRef("REF-20261128-000001", build_ref())),
}


class TestCreation:
    def test_native_returns_a_code_for_the_customer(self, planned: PlannedServer) -> None:
        planned.plan(200, json.dumps({"code_url": CODE_URL}))
        request = build_order(subject="拿铁`\n" * 30)
        result = channel.create_payment(request)
        assert isinstance(result, Reported)
        assert (result.value.state, result.value.channel_trade_no) == (PaymentState.OPEN, "")
        assert isinstance(result.value.next_action, QrCodeAction)
        assert result.value.next_action.content == CODE_URL
        sent = planned.requests[0]
        assert (sent.method, sent.path) == ("POST", "/v3/pay/transactions/native")
        assert sent.headers["Wechatpay-Serial"] == keys.PUBLIC_KEY_ID
        order = json.loads(sent.body)
        assert order["amount"] == {"total": 10_000, "currency": "CNY"}
        assert (order["out_trade_no"], order["notify_url"]) == (REFERENCE, WEBHOOK_URL)
        assert order["time_expire"].endswith("+08:00")
        assert len(order["description"].encode()) <= 127
        assert "`" not in order["description"]

    def test_a_repetition_sends_the_same_parameters(self, planned: PlannedServer) -> None:
        request = build_order(intended_at=dt.datetime(2026, 11, 28, 4, 0, 0, tzinfo=dt.UTC))
        for _ in range(2):
            planned.plan(200, json.dumps({"code_url": CODE_URL}))
            channel.create_payment(request)
        assert planned.requests[0].body == planned.requests[1].body
        assert json.loads(planned.requests[0].body)["time_expire"] == "2026-11-28T12:30:00+08:00"

    def test_jsapi_returns_signed_parameters(self, planned: PlannedServer) -> None:
        planned.plan(200, json.dumps({"prepay_id": "wx26112221580621e9b071c00d9e093b0000"}))
        options = {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
        result = channel.create_payment(
            build_order(payment_method="wechat_jsapi", payment_method_options=options)
        )
        assert isinstance(result, Reported)
        assert isinstance(result.value.next_action, SdkAction)
        assert result.value.next_action.params["package"] == "prepay_id=wx26112221580621e9b071c00d9e093b0000"
        assert json.loads(planned.requests[0].body)["payer"] == options

    def test_h5_redirects_to_a_page_and_back_to_the_shop(self, planned: PlannedServer) -> None:
        page = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1&package=2"
        planned.plan(200, json.dumps({"h5_url": page}))
        result = channel.create_payment(
            build_order(payment_method="wechat_h5", customer=Customer(client_ip="14.23.150.211"))
        )
        assert isinstance(result, Reported)
        back = "&redirect_url=https%3A%2F%2Fshop.example%2Fthanks"
        assert result.value.next_action == RedirectAction(page + back)
        scene = json.loads(planned.requests[0].body)["scene_info"]
        assert scene == {"payer_client_ip": "14.23.150.211", "h5_info": {"type": "Wap"}}

    @pytest.mark.parametrize(
        ("changes", "param"),
        [
            ({"payment_method": "wechat_jsapi"}, "payment_method_options.openid"),
            ({"payment_method": "wechat_h5"}, "customer.client_ip"),
            ({"reference": "PAY-" + "0" * 29}, "reference"),
            ({"reference": "P#Y-1234"}, "reference"),
        ],
    )
    def test_what_wechat_pay_would_refuse_is_not_sent(
        self, planned: PlannedServer, changes: dict[str, Any], param: str
    ) -> None:
        result = channel.create_payment(build_order(**changes))
        assert isinstance(result, InvalidRequest)
        assert result.param == param
        assert not planned.requests

    @pytest.mark.parametrize("changes", [{"currency": "USD"}, {"manual_capture": True}])
    def test_what_another_channel_may_take_is_declined(
        self, planned: PlannedServer, changes: dict[str, Any]
    ) -> None:
        result = channel.create_payment(build_order(**changes))
        assert isinstance(result, Declined)
        assert result.can_fail_over
        assert not planned.requests


class TestRepeatedCreation:
    """An earlier creation has made the order, and its answer was lost."""

    @pytest.mark.parametrize("code", ["OUT_TRADE_NO_USED", "INVALID_REQUEST", "ORDERPAID", "ORDER_CLOSED"])
    @pytest.mark.parametrize(
        ("trade_state", "state"), [("SUCCESS", PaymentState.PAID), ("CLOSED", PaymentState.CANCELLED)]
    )
    def test_the_order_is_reported_as_it_is(
        self, planned: PlannedServer, code: str, trade_state: str, state: PaymentState
    ) -> None:
        planned.plan(400, error_body(code))
        planned.plan(200, order_body(trade_state))
        result = channel.create_payment(build_order())
        assert isinstance(result, Reported)
        assert result.value.state == state

    def test_an_open_order_with_other_parameters_is_closed_and_made_anew(
        self, planned: PlannedServer
    ) -> None:
        """WeChat Pay gives no code for it any more."""
        planned.plan(403, error_body("OUT_TRADE_NO_USED"))
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(204)
        result = channel.create_payment(build_order())
        assert isinstance(result, NewKeyRequired)
        assert result.is_harmless
        assert planned.requests[-1].path == f"/v3/pay/transactions/out-trade-no/{REFERENCE}/close"

    def test_an_open_order_that_is_not_closed_stays_in_doubt(self, planned: PlannedServer) -> None:
        planned.plan(403, error_body("OUT_TRADE_NO_USED"))
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(500, error_body("SYSTEM_ERROR"))
        assert isinstance(channel.create_payment(build_order()), UnknownOutcome)

    def test_a_refusal_without_an_order_is_a_wrong_request(self, planned: PlannedServer) -> None:
        planned.plan(400, error_body("INVALID_REQUEST"))
        planned.plan(404, error_body("ORDER_NOT_EXIST"))
        assert isinstance(channel.create_payment(build_order()), InvalidRequest)

    def test_a_refusal_whose_order_cannot_be_queried_stays_in_doubt(self, planned: PlannedServer) -> None:
        planned.plan(400, error_body("INVALID_REQUEST"))
        planned.plan(500, error_body("SYSTEM_ERROR"))
        assert isinstance(channel.create_payment(build_order()), UnknownOutcome)


class TestErrorCodes:
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (400, "PARAM_ERROR", InvalidRequest),
            (400, "MCH_NOT_EXISTS", InvalidRequest),
            (400, "APPID_MCHID_NOT_MATCH", InvalidRequest),
            (401, "SIGN_ERROR", InvalidRequest),
            (403, "NO_AUTH", InvalidRequest),
            (403, "NOAUTH", InvalidRequest),
            (403, "A_NEW_CODE", InvalidRequest),
            (403, "RULE_LIMIT", Declined),
            (403, "ACCOUNT_ERROR", Declined),
            (429, "FREQUENCY_LIMITED", NotProcessed),
            (429, "", NotProcessed),
            (500, "SYSTEM_ERROR", UnknownOutcome),
            (500, "BANK_ERROR", UnknownOutcome),
            (502, "", UnknownOutcome),
            (202, "USER_PAYING", UnknownOutcome),
            (302, "", UnknownOutcome),
        ],
    )
    def test_of_a_creation(self, planned: PlannedServer, status: int, code: str, kind: type) -> None:
        planned.plan(status, error_body(code))
        assert type(channel.create_payment(build_order())) is kind

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (403, "NOT_ENOUGH", Declined),
            (403, "USER_ACCOUNT_ABNORMAL", Declined),
            # More than is left, the 51st refund, after 365 days.
            (400, "INVALID_REQUEST", Declined),
            (400, "PARAM_ERROR", InvalidRequest),
            (429, "FREQUENCY_LIMITED", NotProcessed),
            (500, "SYSTEM_ERROR", UnknownOutcome),
        ],
    )
    def test_of_a_refund(self, planned: PlannedServer, status: int, code: str, kind: type) -> None:
        planned.plan(status, error_body(code))
        result = channel.refund_payment(build_refund())
        assert type(result) is kind
        if isinstance(result, NotProcessed):
            assert (result.retry_after_seconds, result.is_channel_fault) == (60.0, False)

    @pytest.mark.parametrize(("trade_state", "kind"), [("NOTPAY", Declined), ("SUCCESS", NotProcessed)])
    def test_a_refund_of_an_order_that_is_said_not_to_exist(
        self, planned: PlannedServer, trade_state: str, kind: type
    ) -> None:
        planned.plan(404, error_body("RESOURCE_NOT_EXISTS"))
        planned.plan(200, order_body(trade_state))
        assert type(channel.refund_payment(build_refund())) is kind

    @pytest.mark.parametrize("code", ["ORDER_NOT_EXIST", "ORDERNOTEXIST"])
    def test_an_unknown_order_is_not_found(self, planned: PlannedServer, code: str) -> None:
        planned.plan(404, error_body(code))
        assert channel.find_payment(build_ref()) == NotFoundAtChannel()

    def test_a_refused_query_decides_nothing(self, planned: PlannedServer) -> None:
        planned.plan(403, error_body("RULE_LIMIT"))
        result = channel.find_payment(build_ref())
        assert isinstance(result, InvalidRequest)
        assert result.is_query

    def test_the_wrong_parameter_is_named(self, planned: PlannedServer) -> None:
        planned.plan(400, error_body("PARAM_ERROR", detail={"field": "/payer/openid", "location": "body"}))
        result = channel.create_payment(build_order())
        assert isinstance(result, InvalidRequest)
        assert result.param == "/payer/openid"


class TestSignatures:
    """An answer that is not proved to be WeChat Pay's decides nothing, whatever it says."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize(
        "break_signature",
        [
            lambda body: {},
            lambda body: sign_headers(body, owner="other"),
            lambda body: sign_headers(body, serial_no="PUB_KEY_ID_OTHER"),
            lambda body: sign_headers(body + b" "),
            lambda body: sign_headers(body, timestamp=int(time.time()) - 301),
            lambda body: sign_headers(body, timestamp=int(time.time()) + 302),
            lambda body: {**sign_headers(body), "Wechatpay-Timestamp": "yesterday"},
            lambda body: {**sign_headers(body), "Wechatpay-Signature": "WECHATPAY/SIGNTEST/abc"},
        ],
    )
    @pytest.mark.parametrize(
        ("status", "body"),
        [(200, order_body("SUCCESS")), (403, error_body("RULE_LIMIT")), (404, error_body("ORDER_NOT_EXIST"))],
    )
    def test_a_bad_signature(
        self,
        planned: PlannedServer,
        operation: str,
        break_signature: Callable[[bytes], dict[str, str]],
        status: int,
        body: str,
    ) -> None:
        planned.plan(status, body, headers=break_signature(body.encode()))
        assert isinstance(OPERATIONS[operation](), UnknownOutcome)

    def test_an_unsigned_401_was_not_executed(self, planned: PlannedServer) -> None:
        """WeChat Pay cannot sign for somebody whose signature is wrong."""
        planned.plan(401, error_body("SIGN_ERROR"), headers={})
        assert isinstance(channel.create_payment(build_order()), InvalidRequest)

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("body", ["", "[]", "{}", "null", '{"amount": 1}', "[" * 5000])
    def test_an_answer_of_another_shape(self, planned: PlannedServer, operation: str, body: str) -> None:
        planned.plan(200, body)
        assert isinstance(OPERATIONS[operation](), UnknownOutcome)

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_lost_answer(self, planned: PlannedServer, operation: str) -> None:
        planned.plan(200, is_lost=True)
        assert isinstance(OPERATIONS[operation](), UnknownOutcome)

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_no_connection(self, settings: Any, operation: str) -> None:
        settings.WECHAT_API_BASE = "http://127.0.0.1:1"
        assert isinstance(OPERATIONS[operation](), NotProcessed)

    def test_an_answer_about_another_order(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("SUCCESS", out_trade_no="PAY-OF-ANOTHER"))
        assert isinstance(channel.find_payment(build_ref()), UnknownOutcome)

    def test_unusable_credentials_send_nothing(self, planned: PlannedServer) -> None:
        account = build_account(credentials=keys.build_credentials(private_key=""))
        result = channel.find_payment(build_ref(account))
        assert isinstance(result, InvalidRequest)
        assert result.param == "private_key"


class TestPlatformCertificates:
    """Accounts without WeChat Pay's public key, and those that switch to it."""

    @pytest.fixture
    def account(self) -> ChannelAccount:
        return build_account(with_public_key=False)

    def plan_signed(self, planned: PlannedServer, owner: str, **options: Any) -> None:
        body = order_body("SUCCESS")
        number = keys.serial_no(keys.make_certificate(owner, **options))
        planned.plan(200, body, headers=sign_headers(body.encode(), owner=owner, serial_no=number))

    def plan_certificates(self, planned: PlannedServer, *owners: str, **options: Any) -> None:
        certificates = [keys.make_certificate(owner, **options) for owner in owners]
        planned.plan(200, keys.build_certificates_answer(*certificates), headers={})

    def test_certificates_are_downloaded_once(self, planned: PlannedServer, account: ChannelAccount) -> None:
        self.plan_signed(planned, "platform")
        self.plan_certificates(planned, "platform", "other")
        assert isinstance(channel.find_payment(build_ref(account)), Reported)
        self.plan_signed(planned, "other")
        assert isinstance(channel.find_payment(build_ref(account)), Reported)
        assert [each.path for each in planned.requests].count("/v3/certificates") == 1

    def test_an_unknown_certificate_is_downloaded_at_most_once_a_minute(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "other")
        self.plan_certificates(planned, "platform")
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)
        self.plan_signed(planned, "other")
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_an_expired_certificate_proves_nothing(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "platform", valid_days=-1)
        self.plan_certificates(planned, "platform", valid_days=-1)
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_certificates_that_the_key_does_not_decrypt_prove_nothing(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "platform")
        certificate = keys.make_certificate("platform")
        planned.plan(200, keys.build_certificates_answer(certificate, api_v3_key="o" * 32), headers={})
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_an_account_with_a_wrong_key_delays_no_other_of_the_same_merchant(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        wrong = keys.build_credentials(with_public_key=False, api_v3_key="o" * 32)
        for each, outcome in ((build_account(credentials=wrong), UnknownOutcome), (account, Reported)):
            self.plan_signed(planned, "platform")
            self.plan_certificates(planned, "platform")
            assert isinstance(channel.find_payment(build_ref(each)), outcome)

    def test_both_kinds_are_accepted_while_switching(self, planned: PlannedServer) -> None:
        """WeChat Pay answers with the certificate until the switch is on, whatever the request asks for."""
        self.plan_signed(planned, "platform")
        self.plan_certificates(planned, "platform")
        planned.plan(200, order_body("SUCCESS"))
        for _ in range(2):
            assert isinstance(channel.find_payment(build_ref()), Reported)

    def test_the_previous_public_key_is_accepted_during_a_rotation(self, planned: PlannedServer) -> None:
        old = keys.build_credentials(public_key_id="PUB_KEY_ID_OLD", public_key=keys.public_pem("other"))
        body = order_body("SUCCESS")
        planned.plan(
            200, body, headers=sign_headers(body.encode(), owner="other", serial_no="PUB_KEY_ID_OLD")
        )
        account = build_account(previous_credentials=old)
        assert isinstance(channel.find_payment(build_ref(account)), Reported)


class TestStates:
    @pytest.mark.parametrize(
        ("trade_state", "state", "captured"),
        [
            ("NOTPAY", PaymentState.OPEN, 0),
            ("PAYERROR", PaymentState.OPEN, 0),
            ("USERPAYING", PaymentState.PROCESSING, 0),
            ("SUCCESS", PaymentState.PAID, 10_000),
            ("REFUND", PaymentState.PAID, 10_000),
            ("CLOSED", PaymentState.CANCELLED, 0),
            ("REVOKED", PaymentState.CANCELLED, 0),
        ],
    )
    def test_of_a_payment(
        self, planned: PlannedServer, trade_state: str, state: PaymentState, captured: int
    ) -> None:
        planned.plan(200, order_body(trade_state))
        result = channel.find_payment(build_ref())
        assert isinstance(result, Reported)
        assert (result.value.state, result.value.captured_minor) == (state, captured)

    @pytest.mark.parametrize(
        ("status", "state", "code"),
        [
            ("PROCESSING", RefundState.PENDING, ""),
            ("SUCCESS", RefundState.SUCCEEDED, ""),
            ("CLOSED", RefundState.FAILED, "refund_closed"),
            # The money is at WeChat Pay, and may still reach the customer.
            ("ABNORMAL", RefundState.PENDING, "refund_abnormal"),
        ],
    )
    def test_of_a_refund(self, planned: PlannedServer, status: str, state: RefundState, code: str) -> None:
        planned.plan(200, refund_body(status))
        result = channel.refund_payment(build_refund())
        assert isinstance(result, Reported)
        assert (result.value.state, result.value.failure_code) == (state, code)
        assert result.value.amount_minor == 300

    def test_a_refund_names_the_total_of_its_payment(self, planned: PlannedServer) -> None:
        planned.plan(200, refund_body("PROCESSING"))
        known = build_ref(channel_trade_no="1217752501201407033233368018")
        channel.refund_payment(replace(build_refund(), payment=known))
        sent = json.loads(planned.requests[0].body)
        assert sent["amount"] == {"refund": 300, "total": 10_000, "currency": "CNY"}
        assert sent["transaction_id"] == "1217752501201407033233368018"
        assert sent["notify_url"] == WEBHOOK_URL

    def test_an_unknown_state_decides_nothing(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("ACCEPTED"))
        assert isinstance(channel.find_payment(build_ref()), UnknownOutcome)


class TestClosing:
    def cancel(self) -> object:
        return channel.cancel_payment(CancelPayment("key", build_ref()))

    def test_an_open_order_is_closed(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(204)
        result = self.cancel()
        assert isinstance(result, Reported)
        assert result.value.state == PaymentState.CANCELLED
        assert json.loads(planned.requests[1].body) == {"mchid": keys.MERCHANT_ID}

    def test_a_customer_who_pays_in_between_was_faster(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(400, error_body("ORDER_PAID"))
        planned.plan(200, order_body("SUCCESS"))
        result = self.cancel()
        assert isinstance(result, Reported)
        assert (result.value.state, result.value.captured_minor) == (PaymentState.PAID, 10_000)

    def test_a_customer_who_is_paying_leaves_it_open(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(202, error_body("USER_PAYING"))
        assert isinstance(self.cancel(), UnknownOutcome)

    def test_an_unsigned_answer_closes_nothing(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(204, headers={})
        assert isinstance(self.cancel(), UnknownOutcome)

    def test_nothing_is_closed_that_does_not_exist(self, planned: PlannedServer) -> None:
        planned.plan(404, error_body("ORDER_NOT_EXIST"))
        assert self.cancel() == NotFoundAtChannel()


class TestCredentialCheck:
    def check(self, account: ChannelAccount | None = None) -> object:
        return channel.check_credentials(account or build_account(), 5.0)

    def test_a_signed_not_found_accepts_them(self, planned: PlannedServer) -> None:
        planned.plan(404, error_body("ORDER_NOT_EXIST"))
        assert self.check() == CredentialsAccepted(f"mchid {keys.MERCHANT_ID}")
        assert planned.requests[0].method == "GET"

    def test_a_wrong_key_or_serial_number(self, planned: PlannedServer) -> None:
        planned.plan(401, error_body("SIGN_ERROR"), headers={})
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "certificate_serial_no"

    def test_a_wrong_public_key(self, planned: PlannedServer) -> None:
        body = error_body("ORDER_NOT_EXIST")
        planned.plan(404, body, headers=sign_headers(body.encode(), owner="other"))
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "public_key"

    def test_a_wrong_apiv3_key(self, planned: PlannedServer) -> None:
        certificate, body = keys.make_certificate("platform"), error_body("ORDER_NOT_EXIST")
        signed = sign_headers(body.encode(), owner="platform", serial_no=keys.serial_no(certificate))
        planned.plan(404, body, headers=signed)
        planned.plan(200, keys.build_certificates_answer(certificate, api_v3_key="o" * 32), headers={})
        result = self.check(build_account(with_public_key=False))
        assert isinstance(result, CredentialsRefused)
        assert result.field == "api_v3_key"

    def test_a_wrong_merchant_number(self, planned: PlannedServer) -> None:
        planned.plan(400, error_body("MCH_NOT_EXISTS"))
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "mch_id"

    def test_no_answer_says_nothing(self, planned: PlannedServer) -> None:
        planned.plan(500, is_lost=True)
        assert isinstance(self.check(), CredentialsUnchecked)

    def test_a_malformed_credential_is_refused_without_a_call(self, planned: PlannedServer) -> None:
        result = self.check(build_account(credentials=keys.build_credentials(api_v3_key="short")))
        assert isinstance(result, CredentialsRefused)
        assert result.field == "api_v3_key"
        assert not planned.requests

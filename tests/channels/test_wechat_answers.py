"""The result of each answer of WeChat Pay: its code, its signature, and lost answers."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from channels.base import (
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
)
from channels.wechat.channel import WechatChannel
from tests.support.wechat import keys
from tests.support.wechat.keys import build_account
from tests.support.wechat.messages import (
    build_order,
    build_ref,
    build_refund,
    error_body,
    order_body,
    refund_body,
)
from tests.support.wechat.server import PlannedServer, sign_headers

channel = WechatChannel()


OPERATIONS: dict[str, Callable[[], object]] = {
    "create": lambda: channel.create_payment(build_order()),
    "query": lambda: channel.find_payment(build_ref()),
    "refund": lambda: channel.refund_payment(build_refund()),
    "query refund": lambda: channel.find_refund(RefundRef("REF-20261128-000001", build_ref())),
}


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
            (403, "A_NEW_CODE", InvalidRequest),
            (429, "FREQUENCY_LIMITED", NotProcessed),
            (400, "BIZERR_NEED_RETRY", UnknownOutcome),
            (500, "SYSTEM_ERROR", UnknownOutcome),
        ],
    )
    def test_of_a_refund(self, planned: PlannedServer, status: int, code: str, kind: type) -> None:
        planned.plan(status, error_body(code))
        if kind in (Declined, InvalidRequest):
            planned.plan(404, error_body("RESOURCE_NOT_EXISTS"))  # a query: there is no refund of this number
        result = channel.refund_payment(build_refund())
        assert type(result) is kind
        if isinstance(result, NotProcessed):
            assert (result.retry_after_seconds, result.is_channel_fault) == (60.0, False)

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (403, "NOT_ENOUGH"),
            (400, "INVALID_REQUEST"),
            (400, "PARAM_ERROR"),
            (404, "RESOURCE_NOT_EXISTS"),
            (403, "A_NEW_CODE"),
        ],
    )
    def test_a_refused_repetition_reports_the_refund_of_the_first_call(
        self, planned: PlannedServer, status: int, code: str
    ) -> None:
        """As failed, it would be made again under another number, and the customer would get the money twice."""
        planned.plan(status, error_body(code))
        planned.plan(200, refund_body("PROCESSING"))
        result = channel.refund_payment(build_refund())
        assert isinstance(result, Reported)
        assert result.value.state == RefundState.PENDING
        assert planned.requests[-1].path == "/v3/refund/domestic/refunds/REF-20261128-000001"

    @pytest.mark.parametrize(
        ("status", "code"), [(500, "SYSTEM_ERROR"), (429, "FREQUENCY_LIMITED"), (403, "NO_AUTH")]
    )
    def test_a_refusal_whose_refund_cannot_be_queried_decides_nothing(
        self, planned: PlannedServer, status: int, code: str
    ) -> None:
        planned.plan(403, error_body("NOT_ENOUGH"))
        planned.plan(status, error_body(code))
        result = channel.refund_payment(build_refund())
        assert isinstance(result, UnknownOutcome) or (isinstance(result, InvalidRequest) and result.is_query)

    @pytest.mark.parametrize(("trade_state", "kind"), [("NOTPAY", Declined), ("SUCCESS", NotProcessed)])
    def test_a_refund_of_an_order_that_is_said_not_to_exist(
        self, planned: PlannedServer, trade_state: str, kind: type
    ) -> None:
        planned.plan(404, error_body("RESOURCE_NOT_EXISTS"))
        planned.plan(404, error_body("RESOURCE_NOT_EXISTS"))  # no refund of this number either
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
    """An answer without a valid signature of WeChat Pay decides nothing."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize(
        "break_signature",
        [
            lambda body: {},
            lambda body: sign_headers(body, owner="other"),
            lambda body: sign_headers(body, serial_no="PUB_KEY_ID_OTHER"),
            lambda body: sign_headers(body + b" "),
            lambda body: sign_headers(body, timestamp=int(time.time()) - 301),
            lambda body: sign_headers(body, timestamp=int(time.time()) + 400),
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

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_probe_of_signatures_is_no_fault_of_wechat_pay(
        self, planned: PlannedServer, operation: str
    ) -> None:
        body = order_body("SUCCESS")
        signature = {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/abc"}
        planned.plan(200, body, headers={**sign_headers(body.encode()), **signature})
        result = OPERATIONS[operation]()
        assert isinstance(result, UnknownOutcome)
        assert not result.is_channel_fault

    def test_an_unsigned_401_was_not_executed(self, planned: PlannedServer) -> None:
        """WeChat Pay cannot sign its answer to a request with a wrong signature."""
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

"""Orders and refunds of WeChat Pay: the requests that we send, and the results of their states."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from channels.base import (
    CancelPayment,
    Customer,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotProcessed,
    PaymentState,
    QrCodeAction,
    RedirectAction,
    RefundState,
    Reported,
    SdkAction,
    UnknownOutcome,
)
from channels.wechat.channel import WechatChannel
from tests.support.wechat import keys
from tests.support.wechat.keys import WEBHOOK_URL
from tests.support.wechat.messages import (
    CODE_URL,
    REFERENCE,
    build_order,
    build_ref,
    build_refund,
    error_body,
    order_body,
    refund_body,
)
from tests.support.wechat.server import PlannedServer

channel = WechatChannel()


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
            ({"payment_method": "wechat_h5"}, "client_ip"),
            ({"reference": "PAY-" + "0" * 29}, "reference"),
            ({"reference": "P#Y-1234"}, "reference"),
            ({"payment_method": "card"}, "payment_method"),
        ],
    )
    def test_orders_that_wechat_pay_would_refuse_are_not_sent(
        self, planned: PlannedServer, changes: dict[str, Any], param: str
    ) -> None:
        result = channel.create_payment(build_order(**changes))
        assert isinstance(result, InvalidRequest)
        assert result.param == param
        assert not planned.requests

    @pytest.mark.parametrize("changes", [{"currency": "USD"}, {"manual_capture": True}])
    def test_payments_that_only_another_channel_can_take_are_declined(
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
        """WeChat Pay returns no code for such an order."""
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
            # The money is at WeChat Pay and may still reach the customer.
            ("ABNORMAL", RefundState.PENDING, "refund_abnormal"),
        ],
    )
    def test_of_a_refund(self, planned: PlannedServer, status: str, state: RefundState, code: str) -> None:
        planned.plan(200, refund_body(status))
        result = channel.refund_payment(build_refund())
        assert isinstance(result, Reported)
        assert (result.value.state, result.value.failure_code) == (state, code)
        assert result.value.amount_minor == 300

    @pytest.mark.parametrize("trade_state", ["NOTPAY", "CLOSED"])
    @pytest.mark.parametrize(
        "amount", [{}, {"payer_currency": "CNY"}, {"payer_currency": "CNY", "total": 10_000}]
    )
    def test_an_unpaid_order_need_not_say_its_amount(
        self, planned: PlannedServer, trade_state: str, amount: dict[str, Any]
    ) -> None:
        """Every field of `amount` is optional in WeChat Pay's SDKs."""
        planned.plan(200, order_body(trade_state, amount=amount, payer={}, promotion_detail=[]))
        result = channel.find_payment(build_ref())
        assert isinstance(result, Reported)
        assert (result.value.amount_minor, result.value.captured_minor) == (amount.get("total"), 0)

    def test_a_coupon_that_pays_a_part_changes_neither_the_payment_nor_the_refund(
        self, planned: PlannedServer
    ) -> None:
        """The customer pays `payer_total`, and gets `payer_refund` back. The order and the refund are as requested."""
        amount = {"total": 10_000, "payer_total": 9_000, "currency": "CNY", "payer_currency": "CNY"}
        coupon = {"coupon_id": "109519", "type": "NOCASH", "amount": 1_000, "merchant_contribute": 1_000}
        planned.plan(200, order_body("SUCCESS", amount=amount, promotion_detail=[coupon]))
        paid = channel.find_payment(build_ref())
        assert isinstance(paid, Reported)
        assert (paid.value.amount_minor, paid.value.captured_minor) == (10_000, 10_000)
        amounts = {
            "total": 10_000,
            "refund": 300,
            "payer_total": 9_000,
            "payer_refund": 270,
            "settlement_refund": 270,
            "settlement_total": 9_000,
            "discount_refund": 30,
            "currency": "CNY",
        }
        planned.plan(200, refund_body("SUCCESS", amount=amounts))
        refunded = channel.refund_payment(build_refund())
        assert isinstance(refunded, Reported)
        assert (refunded.value.state, refunded.value.amount_minor) == (RefundState.SUCCEEDED, 300)

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

    def test_an_order_that_is_paid_before_the_close_is_paid(self, planned: PlannedServer) -> None:
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

    @pytest.mark.parametrize("code", ["RULE_LIMIT", "RULELIMIT"])
    def test_a_limit_to_requests_is_no_refusal(self, planned: PlannedServer, code: str) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(403, error_body(code))
        result = self.cancel()
        assert isinstance(result, NotProcessed)
        assert (result.retry_after_seconds, result.is_channel_fault) == (60.0, False)

    def test_an_unsigned_answer_closes_nothing(self, planned: PlannedServer) -> None:
        planned.plan(200, order_body("NOTPAY"))
        planned.plan(204, headers={})
        assert isinstance(self.cancel(), UnknownOutcome)

    def test_closing_an_unknown_order_is_not_found(self, planned: PlannedServer) -> None:
        planned.plan(404, error_body("ORDER_NOT_EXIST"))
        assert self.cancel() == NotFoundAtChannel()

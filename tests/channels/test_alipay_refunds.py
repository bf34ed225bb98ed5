"""Refunds against Alipay's sandbox, over HTTP: repetitions, lost and unclear answers, refusals, and the statement."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from channels.alipay import statements
from channels.alipay.channel import AlipayChannel
from channels.base import (
    CancelPayment,
    CreateRefund,
    Declined,
    InvalidRequest,
    ListingFailed,
    ListingWindow,
    NotFoundAtChannel,
    NotProcessed,
    PaymentState,
    RefundedPayment,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
)
from channels.registry import get_platform_account
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.harness import build_refund, create_open
from tests.channels.test_alipay_payments import UNCLEAR
from tests.support.alipay.account import SELLER_ID
from tests.support.alipay.bank import AlipayBank
from tests.support.waiting import PATIENCE_SECONDS

channel = AlipayChannel()


@pytest.fixture
def harness(alipay: AlipayBank, monkeypatch: pytest.MonkeyPatch) -> AlipayHarness:
    return AlipayHarness(alipay, monkeypatch, "alipay_qr")


@pytest.fixture
def refund(harness: AlipayHarness) -> CreateRefund:
    """A refund of 30.00 of a payment of 100.00 that is not sent yet."""
    request = harness.build_creation()
    payment = create_open(harness, request)
    harness.pay(payment)
    return build_refund(request, payment, 3_000)


def name(refund: CreateRefund, **changes: Any) -> RefundRef:
    return replace(RefundRef(refund.reference, refund.payment), **changes)


def read_refunded(harness: AlipayHarness, refund: CreateRefund) -> int:
    return harness.read_amounts(refund.payment.reference)[1]


def test_a_repetition_refunds_nothing_and_reports_the_refund(
    harness: AlipayHarness, refund: CreateRefund
) -> None:
    """Its answer has fund_change N, and the sum of all refunds: only a query shows what this one refunded."""
    first = channel.refund_payment(refund)
    other = replace(refund, reference=f"{refund.reference}-2", amount_minor=1_000)
    assert isinstance(channel.refund_payment(other), Reported)
    assert channel.refund_payment(refund) == first == channel.find_refund(name(refund))
    assert isinstance(first, Reported)
    assert (first.value.state, first.value.amount_minor) == (RefundState.SUCCEEDED, 3_000)
    assert read_refunded(harness, refund) == 4_000


def test_a_repetition_of_the_refund_that_closed_the_trade_reports_it(
    harness: AlipayHarness, refund: CreateRefund
) -> None:
    whole = replace(refund, amount_minor=10_000)
    first = channel.refund_payment(whole)
    assert isinstance(first, Reported)
    assert channel.refund_payment(whole) == first
    harness.bank.fault("refund", "decline", code="40004", sub_code="ACQ.TRADE_HAS_CLOSE")
    assert channel.refund_payment(whole) == first
    assert read_refunded(harness, refund) == 10_000


def test_a_trade_that_was_refunded_completely_is_closed_and_was_paid(
    harness: AlipayHarness, refund: CreateRefund
) -> None:
    channel.refund_payment(replace(refund, amount_minor=10_000))
    trade = harness.bank.find_trade(refund.payment.reference)
    assert trade is not None
    assert trade["status"] == "TRADE_CLOSED"
    cancel = CancelPayment("c", refund.payment)
    for answer in (channel.find_payment(refund.payment), channel.cancel_payment(cancel)):
        assert isinstance(answer, Reported)
        assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, 10_000)


def test_another_amount_under_the_same_number_reports_what_was_refunded(
    harness: AlipayHarness, refund: CreateRefund
) -> None:
    first = channel.refund_payment(refund)
    assert channel.refund_payment(replace(refund, amount_minor=2_000)) == first
    assert read_refunded(harness, refund) == 3_000


@pytest.mark.parametrize("fault", UNCLEAR)
def test_an_unclear_answer_decides_nothing(harness: AlipayHarness, refund: CreateRefund, fault: str) -> None:
    harness.bank.fault("refund", fault)
    assert isinstance(channel.refund_payment(refund), UnknownOutcome)
    assert isinstance(channel.refund_payment(refund), Reported)
    assert read_refunded(harness, refund) == 3_000


@pytest.mark.parametrize("fault", UNCLEAR)
def test_an_unclear_answer_to_a_query_decides_nothing(
    harness: AlipayHarness, refund: CreateRefund, fault: str
) -> None:
    channel.refund_payment(refund)
    harness.bank.fault("query_refund", fault)
    assert isinstance(channel.find_refund(name(refund)), UnknownOutcome)
    harness.bank.fault("query_refund", fault)
    assert isinstance(channel.refund_payment(refund), UnknownOutcome)


def test_an_accepted_refund_is_not_done(harness: AlipayHarness, refund: CreateRefund) -> None:
    harness.bank.fault("refund", "refund_pending", seconds=30)
    assert isinstance(channel.refund_payment(refund), UnknownOutcome)
    assert channel.find_refund(name(refund)) == NotFoundAtChannel()
    harness.bank.advance(31)
    assert isinstance(channel.find_refund(name(refund)), Reported)
    assert isinstance(channel.refund_payment(refund), Reported)
    assert read_refunded(harness, refund) == 3_000


@pytest.mark.parametrize(
    ("sub_code", "result"),
    [
        ("ACQ.SELLER_BALANCE_NOT_ENOUGH", Declined),
        ("ACQ.REASON_TRADE_BEEN_FREEZEN", Declined),
        ("ACQ.TRADE_HAS_FINISHED", Declined),
        ("ACQ.TRADE_NOT_ALLOW_REFUND", Declined),
        ("ACQ.TRADE_NOT_EXIST", Declined),
        ("ACQ.INVALID_PARAMETER", InvalidRequest),
        ("ACQ.DISCORDANT_REPEAT_REQUEST", InvalidRequest),
        # A code that is not documented may be the answer to a repetition, while the first call is still executed.
        ("ACQ.NEW_CODE", UnknownOutcome),
        ("ACQ.SYSTEM_ERROR", UnknownOutcome),
        ("aop.ACQ.SYSTEM_ERROR", UnknownOutcome),
    ],
)
def test_each_refusal(harness: AlipayHarness, refund: CreateRefund, sub_code: str, result: type) -> None:
    harness.bank.fault("refund", "decline", code="40004", sub_code=sub_code)
    assert isinstance(channel.refund_payment(refund), result)
    assert read_refunded(harness, refund) == 0


def test_a_refusal_decides_nothing_while_no_query_confirms_it(
    harness: AlipayHarness, refund: CreateRefund
) -> None:
    """Alipay may refuse the call because it repeats a refund that was made."""
    harness.bank.fault("refund", "decline", code="40004", sub_code="ACQ.TRADE_STATUS_ERROR")
    harness.bank.fault("query_refund", "reset")
    assert isinstance(channel.refund_payment(refund), UnknownOutcome)


def test_a_busy_gateway_has_not_refunded(harness: AlipayHarness, refund: CreateRefund) -> None:
    harness.bank.fault("refund", "decline", code="40005", sub_code="isv.call-limited")
    assert isinstance(channel.refund_payment(refund), NotProcessed)


@pytest.mark.parametrize(
    "fields",
    [
        {"out_trade_no": "PAY_OF_ANOTHER"},
        {"refund_fee": "29.99"},
        {"refund_fee": None},
        {"trade_no": None},
    ],
    ids=str,
)
def test_an_answer_about_something_else_is_no_answer(
    harness: AlipayHarness, refund: CreateRefund, fields: dict[str, Any]
) -> None:
    harness.bank.fault("refund", "contradict", fields=fields)
    assert isinstance(channel.refund_payment(refund), UnknownOutcome)


def test_the_sellers_empty_account_refuses(harness: AlipayHarness, refund: CreateRefund) -> None:
    balance = harness.bank.control("GET", "ledger", seller_id=SELLER_ID)["balance_fen"]
    yuan = f"{balance // 100}.{balance % 100:02d}"
    harness.bank.control("POST", "withdraw", seller_id=SELLER_ID, amount=yuan)
    answer = channel.refund_payment(refund)
    harness.bank.control("POST", "deposit", seller_id=SELLER_ID, amount=yuan)
    assert isinstance(answer, Declined)
    assert answer.code == "balance_insufficient"


def test_a_refund_in_the_console_is_found_by_its_number(harness: AlipayHarness, refund: CreateRefund) -> None:
    harness.take_webhooks()
    harness.bank.refund_in_console(refund.payment.reference, "5.00")
    (notice,) = harness.take_webhooks()
    _payment, refunded = channel.parse_webhook(harness.account, notice).updates
    assert isinstance(refunded, RefundedPayment)
    answer = channel.find_refund(name(refund, reference="", channel_refund_no=refunded.channel_refund_no))
    assert isinstance(answer, Reported)
    assert (answer.value.reference, answer.value.amount_minor) == ("", 500)
    assert answer.value.channel_refund_no == refunded.channel_refund_no


class TestStatement:
    def _list(self, harness: AlipayHarness) -> list[Any]:
        now = dt.datetime.now(dt.UTC)
        hour = dt.timedelta(hours=1)
        window = ListingWindow(
            get_platform_account("alipay", "test"), now - hour, now + hour, PATIENCE_SECONDS
        )
        return [entry.value for entry in channel.list_refunds(window)]

    def test_it_names_refunds_as_their_answers_do(self, harness: AlipayHarness, refund: CreateRefund) -> None:
        answer = channel.refund_payment(refund)
        assert isinstance(answer, Reported)
        harness.bank.refund_in_console(refund.payment.reference, "5.00")
        harness.publish_lists()
        listed = [r for r in self._list(harness) if r.payment_reference == refund.payment.reference]
        ours, in_console = sorted(listed, key=lambda each: each.amount_minor, reverse=True)
        assert (ours.reference, ours.channel_refund_no) == (refund.reference, answer.value.channel_refund_no)
        assert (in_console.reference, in_console.amount_minor) == ("", 500)
        found = channel.find_refund(
            name(refund, reference="", channel_refund_no=in_console.channel_refund_no)
        )
        assert isinstance(found, Reported)

    def test_the_current_day_has_no_statement(self, harness: AlipayHarness) -> None:
        with pytest.raises(ListingFailed):
            self._list(harness)

    @pytest.mark.parametrize("operation", ["bill", "download"])
    @pytest.mark.parametrize("fault", ["error_5xx", "reset", "garbage"])
    def test_a_list_fails_without_its_statement(
        self, harness: AlipayHarness, refund: CreateRefund, operation: str, fault: str
    ) -> None:
        channel.refund_payment(refund)
        harness.publish_lists()
        harness.bank.fault(operation, fault)
        with pytest.raises(ListingFailed):
            self._list(harness)

    def test_a_missing_statement_is_an_empty_one_only_after_a_day(
        self, harness: AlipayHarness, refund: CreateRefund, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness.publish_lists()
        harness.bank.fault("bill", "decline", code="40004", sub_code="isp.bill_not_exist", times=4)
        assert self._list(harness) == []
        monkeypatch.setattr(statements, "_read_now", lambda: dt.datetime.now(dt.UTC))
        with pytest.raises(ListingFailed):
            self._list(harness)

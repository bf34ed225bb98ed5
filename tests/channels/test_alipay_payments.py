"""Payments at Alipay's sandbox, over HTTP: trades that do not exist yet, lost and forged answers, late payments."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from channels.alipay.channel import AlipayChannel
from channels.base import (
    CancelPayment,
    CreatePayment,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    Declined,
    FormAction,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    NotYet,
    PaymentRef,
    PaymentState,
    QrCodeAction,
    Reported,
    UnknownOutcome,
)
from channels.registry import get_platform_account
from tests.support.alipay.account import APP_ID, KEYS
from tests.support.alipay.bank import AlipayBank
from tests.support.channels import build_creation
from tests.support.waiting import PATIENCE_SECONDS

METHODS = ("alipay_page", "alipay_wap", "alipay_qr")
channel = AlipayChannel()


def create(bank: AlipayBank, method: str = "alipay_qr", **changes: Any) -> CreatePayment:
    """Creates a payment that the customer has not opened. `bank` must be connected."""
    account = get_platform_account("alipay", "test")
    request = build_creation(account=account, currency="CNY", payment_method=method, **changes)
    answer = channel.create_payment(request)
    assert isinstance(answer, Reported), answer
    action = answer.value.next_action
    if isinstance(action, FormAction):
        assert bank.post_page(action).status_code == 200
    return request


def name(request: CreatePayment, **changes: Any) -> PaymentRef:
    started_at = request.started_at or dt.datetime.now(dt.UTC)
    expires_at = started_at + dt.timedelta(seconds=request.expires_in_seconds)
    return replace(
        PaymentRef(
            request.reference,
            request.account,
            PATIENCE_SECONDS,
            started_at=started_at,
            expires_at=expires_at,
            payment_method=request.payment_method,
        ),
        **changes,
    )


class TestTradesThatDoNotExistYet:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_trade_can_be_created_until_its_page_ends(self, alipay: AlipayBank, method: str) -> None:
        ref = name(create(alipay, method))
        for answer in (channel.find_payment(ref), channel.cancel_payment(CancelPayment("c", ref))):
            assert isinstance(answer, NotYet)
            assert ref.expires_at is not None
            assert answer.until - ref.expires_at == dt.timedelta(seconds=60)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_trade_cannot_be_created_after_its_page_has_ended(
        self, alipay: AlipayBank, method: str
    ) -> None:
        ended = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
        ref = name(create(alipay, method), expires_at=ended)
        assert channel.find_payment(ref) == NotFoundAtChannel()
        assert channel.cancel_payment(CancelPayment("c", ref)) == NotFoundAtChannel()

    def test_a_page_with_an_unknown_end_counts_as_the_longest_one(self, alipay: AlipayBank) -> None:
        request = create(alipay)
        answer = channel.find_payment(name(request, expires_at=None))
        assert isinstance(answer, NotYet)
        assert request.started_at is not None
        assert answer.until > request.started_at + dt.timedelta(days=15)

    def test_a_number_of_alipays_that_does_not_exist_is_not_found(self, alipay: AlipayBank) -> None:
        ref = PaymentRef(
            "", get_platform_account("alipay", "test"), PATIENCE_SECONDS, "2026112822001400000000009999"
        )
        assert channel.find_payment(ref) == NotFoundAtChannel()

    @pytest.mark.parametrize("method", METHODS)
    def test_a_page_that_was_cancelled_unopened_is_paid_later(self, alipay: AlipayBank, method: str) -> None:
        """The customer can still pay until the end of the page. Alipay then reports a late payment."""
        request = create(alipay, method)
        assert isinstance(channel.cancel_payment(CancelPayment("c", name(request))), NotYet)
        alipay.pay(request.reference)
        for answer in (
            channel.find_payment(name(request)),
            channel.cancel_payment(CancelPayment("c", name(request))),
        ):
            assert isinstance(answer, Reported)
            assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, 10_000)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_page_that_was_opened_is_closed_for_good(self, alipay: AlipayBank, method: str) -> None:
        request = create(alipay, method)
        alipay.open(request.reference)
        opened = channel.find_payment(name(request))
        assert isinstance(opened, Reported)
        assert opened.value.state == PaymentState.OPEN
        for _ in range(2):
            answer = channel.cancel_payment(CancelPayment("c", name(request)))
            assert isinstance(answer, Reported)
            assert (answer.value.state, answer.value.captured_minor) == (PaymentState.CANCELLED, 0)

    def test_a_trade_ends_with_its_page(self, alipay: AlipayBank) -> None:
        request = create(alipay, "alipay_page", expires_in_seconds=120)
        alipay.open(request.reference)
        alipay.advance(180)
        answer = channel.find_payment(name(request))
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.CANCELLED


class TestCreation:
    def test_a_code_lives_as_long_as_the_payment(self, alipay: AlipayBank) -> None:
        account = get_platform_account("alipay", "test")
        request = build_creation(account=account, currency="CNY", payment_method="alipay_qr")
        answer = channel.create_payment(request)
        assert isinstance(answer, Reported)
        action = answer.value.next_action
        assert isinstance(action, QrCodeAction)
        assert request.started_at is not None
        assert action.expires_at == request.started_at.replace(microsecond=0) + dt.timedelta(minutes=30)

    def test_a_page_is_signed_without_a_call(self, alipay: AlipayBank, settings: Any) -> None:
        settings.ALIPAY_GATEWAY_URL = "http://127.0.0.1:9/gateway.do"
        account = get_platform_account("alipay", "test")
        request = build_creation(account=account, currency="CNY", payment_method="alipay_page")
        assert isinstance(channel.create_payment(request), Reported)
        refused = channel.create_payment(replace(request, payment_method="alipay_qr"))
        assert isinstance(refused, NotProcessed)
        assert "app_id" not in refused.reason  # nor any other part of the signed address

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        "subject", ["a/b=c&d", "///", "\n", "咖啡" * 300, "100% <b> + \"quoted\" 'text'", "🍵"], ids=ascii
    )
    def test_any_subject_is_accepted(self, alipay: AlipayBank, method: str, subject: str) -> None:
        request = create(alipay, method, subject=subject, description=subject)
        alipay.pay(request.reference)
        assert isinstance(channel.find_payment(name(request)), Reported)

    def test_a_scanned_code_whose_answer_was_lost_is_found_by_a_repetition(self, alipay: AlipayBank) -> None:
        request = create(alipay)
        alipay.pay(request.reference)
        answer = channel.create_payment(request)
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.PAID

    @pytest.mark.parametrize(
        ("changes", "result"),
        [
            ({"currency": "USD"}, Declined),
            ({"amount_minor": 10_000_000_001}, Declined),
            ({"amount_minor": 0}, Declined),
            ({"manual_capture": True}, Declined),
            ({"payment_method": "alipay_face"}, InvalidRequest),
        ],
    )
    def test_payments_that_alipay_cannot_accept_are_refused_without_a_call(
        self, alipay: AlipayBank, settings: Any, changes: dict[str, Any], result: type
    ) -> None:
        settings.ALIPAY_GATEWAY_URL = "http://127.0.0.1:9/gateway.do"
        account = get_platform_account("alipay", "test")
        request = build_creation(
            account=account, **{"currency": "CNY", "payment_method": "alipay_qr", **changes}
        )
        assert isinstance(channel.create_payment(request), result)


# Lost, damaged and unclear answers: the outcome of the call is unknown.
UNCLEAR = (
    "error_5xx",
    "error_5xx_after",
    "reset",
    "reset_after",
    "unavailable",
    "unavailable_after",
    "system_error",
    "system_error_after",
    "bad_signature",
    "no_signature",
    "garbage",
)


class TestUnclearAnswers:
    @pytest.mark.parametrize("fault", UNCLEAR)
    def test_a_creation(self, alipay: AlipayBank, fault: str) -> None:
        alipay.fault("create", fault)
        account = get_platform_account("alipay", "test")
        request = build_creation(account=account, currency="CNY", payment_method="alipay_qr")
        assert isinstance(channel.create_payment(request), UnknownOutcome)
        assert isinstance(channel.create_payment(request), Reported)

    @pytest.mark.parametrize("fault", UNCLEAR)
    def test_a_query(self, alipay: AlipayBank, fault: str) -> None:
        request = create(alipay)
        alipay.pay(request.reference)
        alipay.fault("query", fault)
        assert isinstance(channel.find_payment(name(request)), UnknownOutcome)
        assert isinstance(channel.find_payment(name(request)), Reported)

    @pytest.mark.parametrize("fault", UNCLEAR)
    def test_a_cancellation(self, alipay: AlipayBank, fault: str) -> None:
        request = create(alipay)
        alipay.open(request.reference)
        alipay.fault("cancel", fault)
        cancel = CancelPayment("c", name(request))
        assert isinstance(channel.cancel_payment(cancel), UnknownOutcome)
        repeated = channel.cancel_payment(cancel)
        assert isinstance(repeated, Reported)
        assert repeated.value.state == PaymentState.CANCELLED

    def test_the_query_after_a_close_is_not_the_close(self, alipay: AlipayBank) -> None:
        """The trade was closed. The later query is refused because of a rate limit, which says nothing of the close."""
        request = create(alipay)
        alipay.open(request.reference)
        alipay.fault("query", "decline", code="40005", sub_code="isv.call-limited")
        assert isinstance(channel.cancel_payment(CancelPayment("c", name(request))), UnknownOutcome)
        alipay.fault("query", "decline", code="40005", sub_code="isv.call-limited")
        assert isinstance(channel.find_payment(name(request)), NotProcessed)

    @pytest.mark.parametrize(
        "fields",
        [
            {"out_trade_no": "PAY_OF_ANOTHER"},
            {"total_amount": "many"},
            {"trade_status": "TRADE_REINVENTED"},
            {"trade_no": None},
        ],
        ids=str,
    )
    def test_an_answer_about_something_else_is_no_answer(
        self, alipay: AlipayBank, fields: dict[str, Any]
    ) -> None:
        request = create(alipay)
        alipay.pay(request.reference)
        alipay.fault("query", "contradict", fields=fields)
        assert isinstance(channel.find_payment(name(request)), UnknownOutcome)

    @pytest.mark.parametrize(
        ("error", "result"),
        [
            ({"code": "40004", "sub_code": "ACQ.TOTAL_FEE_EXCEED"}, Declined),
            ({"code": "40004", "sub_code": "ACQ.EXIST_FORBIDDEN_WORD"}, Declined),
            ({"code": "40004", "sub_code": "ACQ.INVALID_PARAMETER"}, InvalidRequest),
            ({"code": "40002", "sub_code": "isv.invalid-parameter"}, InvalidRequest),
            ({"code": "40002", "sub_code": "isv.invalid-signature"}, NotProcessed),
            ({"code": "40006", "sub_code": "isv.insufficient-isv-permissions"}, NotProcessed),
            ({"code": "40005", "sub_code": "isv.call-limited"}, NotProcessed),
            ({"code": "20000", "sub_code": "aop.unknow-error"}, UnknownOutcome),
            ({"code": "40004", "sub_code": "AQC.SYSTEM_ERROR"}, UnknownOutcome),
        ],
        ids=str,
    )
    def test_each_kind_of_error(self, alipay: AlipayBank, error: dict[str, str], result: type) -> None:
        alipay.fault("create", "decline", **error)
        account = get_platform_account("alipay", "test")
        request = build_creation(account=account, currency="CNY", payment_method="alipay_qr")
        assert isinstance(channel.create_payment(request), result)


class TestCredentials:
    def test_the_right_ones_are_accepted(self, alipay: AlipayBank) -> None:
        answer = channel.check_credentials(get_platform_account("alipay", "test"), PATIENCE_SECONDS)
        assert answer == CredentialsAccepted(f"Alipay knows the application {APP_ID}.")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("app_id", "2021999999999999"),
            ("app_id", ""),
            ("seller_id", "2088"),
            ("seller_id", "1188000000000001"),
            ("private_key", KEYS["alipay_private_key_pkcs1"]),
            ("private_key", "no key"),
            ("private_key", ""),
            ("alipay_public_key", KEYS["application_public_key"]),
            ("alipay_public_key", "no key"),
        ],
    )
    def test_the_wrong_one_is_named(self, alipay: AlipayBank, field: str, value: str) -> None:
        account = get_platform_account("alipay", "test")
        wrong = replace(account, credentials={**account.credentials, field: value})
        answer = channel.check_credentials(wrong, PATIENCE_SECONDS)
        assert isinstance(answer, CredentialsRefused), answer
        assert answer.field == field

    @pytest.mark.parametrize("fault", ["error_5xx", "reset", "unavailable", "garbage"])
    def test_without_an_answer_nothing_is_known(self, alipay: AlipayBank, fault: str) -> None:
        alipay.fault("query", fault)
        answer = channel.check_credentials(get_platform_account("alipay", "test"), PATIENCE_SECONDS)
        assert isinstance(answer, CredentialsUnchecked)

    def test_no_credential_is_printed(self) -> None:
        assert KEYS["application_private_key_pkcs1"] not in repr(get_platform_account("alipay", "test"))

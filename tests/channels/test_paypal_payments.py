"""PayPal's payments and refunds at the port: currencies, errors, lost answers, access tokens, credentials."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelAccount,
    ChannelPayment,
    CompletePayment,
    CreatePayment,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    PaymentRef,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
    UnexpectedFormat,
    UnknownOutcome,
)
from channels.paypal import tokens
from channels.paypal.amounts import CURRENCIES, read_money, to_money
from channels.paypal.channel import PayPalChannel
from channels.paypal.config import PayPalCredentials
from channels.registry import get_platform_account
from common.deadlines import Deadline
from tests.channels.harness import build_ref, build_refund
from tests.support.channels import build_creation
from tests.support.paypal import specification
from tests.support.paypal.fake import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, FakePayPal, Fault
from tests.support.paypal.values import CURRENCIES as PUBLISHED_CURRENCIES

channel = PayPalChannel()
ORDERS, TOKEN = "POST /v2/checkout/orders", "POST /v1/oauth2/token"
HOUR = 3600


@pytest.fixture
def account(paypal: FakePayPal) -> ChannelAccount:
    return get_platform_account("paypal", "test")


def create(account: ChannelAccount, **changes: Any) -> tuple[CreatePayment, ChannelPayment]:
    request = build_creation(account=account, **changes)
    answer = channel.create_payment(request)
    assert isinstance(answer, Reported), answer
    return request, answer.value


def complete(request: CreatePayment, payment: ChannelPayment) -> Any:
    return channel.complete_payment(
        CompletePayment(
            key=f"complete-{request.reference}",
            payment=build_ref(request, payment.channel_trade_no),
            amount_minor=request.amount_minor,
            currency=request.currency,
            manual_capture=request.manual_capture,
        )
    )


def approve(
    paypal: FakePayPal, account: ChannelAccount, **changes: Any
) -> tuple[CreatePayment, ChannelPayment]:
    request, payment = create(account, **changes)
    paypal.account.approve(payment.channel_trade_no)
    return request, payment


def end_authorization(action: str, payment: PaymentRef) -> Any:
    if action == "capture":
        return channel.capture_payment(CapturePayment("capture-once", payment, 4_000))
    return channel.cancel_payment(CancelPayment("void-once", payment))


def find(request: CreatePayment, payment: ChannelPayment) -> ChannelPayment:
    answer = channel.find_payment(build_ref(request, payment.channel_trade_no))
    assert isinstance(answer, Reported), answer
    return answer.value


class TestAmounts:
    @pytest.mark.parametrize(
        ("minor", "currency", "value"),
        [
            (12_345, "USD", "123.45"),
            (5, "EUR", "0.05"),
            (500, "JPY", "500"),
            (12_300, "TWD", "123"),
            (100, "HUF", "1"),
            (99_999_999_999_999, "USD", "999999999999.99"),
        ],
    )
    def test_amounts_are_converted_both_ways(self, minor: int, currency: str, value: str) -> None:
        assert to_money(minor, currency) == {"currency_code": currency, "value": value}
        assert read_money(to_money(minor, currency)) == (minor, currency)

    @pytest.mark.parametrize("currency", ["HUF", "TWD"])
    def test_a_part_of_a_currency_without_decimals_is_refused(
        self, account: ChannelAccount, currency: str
    ) -> None:
        answer = channel.create_payment(build_creation(account=account, amount_minor=150, currency=currency))
        assert isinstance(answer, InvalidRequest)
        assert channel.capabilities.amount_steps[currency] == 100

    @pytest.mark.parametrize(
        "money",
        [
            None,
            {},
            {"currency_code": "USD"},
            {"currency_code": "USD", "value": 12},
            {"currency_code": "USD", "value": "1e3"},
            {"currency_code": "USD", "value": "1.005"},
            {"currency_code": "USD", "value": "１２"},
            {"currency_code": "XXX", "value": "1.00"},
            {"currency_code": "JPY", "value": "1.5"},
        ],
    )
    def test_an_invalid_amount_decides_nothing(self, money: Any) -> None:
        with pytest.raises(UnexpectedFormat):
            read_money(money)

    def test_decimals_that_are_zero_are_read(self) -> None:
        """PayPal writes `500.00` for JPY in some answers."""
        assert read_money({"currency_code": "JPY", "value": "500.00"}) == (500, "JPY")

    def test_the_currencies_are_paypals(self) -> None:
        assert set(CURRENCIES) == PUBLISHED_CURRENCIES

    @pytest.mark.parametrize(
        ("minor", "currency"), [(500, "JPY"), (12_300, "TWD"), (45_600, "HUF"), (1, "USD")]
    )
    def test_currencies_are_paid_and_refunded(
        self, paypal: FakePayPal, account: ChannelAccount, minor: int, currency: str
    ) -> None:
        request, payment = approve(paypal, account, amount_minor=minor, currency=currency)
        paid = complete(request, payment).value
        assert (paid.state, paid.captured_minor, paid.currency) == (PaymentState.PAID, minor, currency)
        refund = channel.refund_payment(build_refund(request, payment, minor))
        assert isinstance(refund, Reported)
        assert (refund.value.amount_minor, refund.value.currency) == (minor, currency)


class TestCompletion:
    def test_an_approval_has_an_end(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        approved = find(request, payment)
        assert approved.state == PaymentState.APPROVED
        assert approved.complete_before is not None
        assert approved.next_action is None

    def test_an_order_that_is_not_approved_stays_open(self, account: ChannelAccount) -> None:
        request, payment = create(account)
        answer = complete(request, payment)
        assert answer.value.state == PaymentState.OPEN

    def test_a_capture_whose_key_has_lapsed_is_found_in_the_order(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        request, payment = approve(paypal, account)
        paypal.plan_fault(Fault.LOSE_ANSWER, f"{ORDERS}/.*/capture")
        assert isinstance(complete(request, payment), UnknownOutcome)
        paypal.advance_clock(7 * HOUR)
        assert find(request, payment).state == PaymentState.PAID
        again = complete(request, payment)
        assert (again.value.state, again.value.captured_minor) == (PaymentState.PAID, 10_000)
        assert paypal.get_amounts(request.reference) == (100, 0)

    def test_a_capture_that_arrives_late_captures_nothing_more(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        request, payment = approve(paypal, account)
        paypal.plan_fault(Fault.DELAY, f"{ORDERS}/.*/capture")
        assert isinstance(complete(request, payment), UnknownOutcome)
        assert complete(request, payment).value.state == PaymentState.PAID
        paypal.deliver_delayed_requests()
        assert paypal.get_amounts(request.reference) == (100, 0)

    def test_an_approval_that_has_lapsed_is_gone(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        paypal.advance_clock(7 * HOUR)
        assert complete(request, payment) == NotFoundAtChannel()
        assert channel.find_payment(build_ref(request, payment.channel_trade_no)) == NotFoundAtChannel()

    def test_a_refused_instrument_is_a_decline(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        paypal.account.declines_instrument = True
        answer = complete(request, payment)
        assert isinstance(answer, Declined)
        assert answer.code == "card_declined"
        assert "debug_id f7b3a1c9d2e4" in answer.message

    def test_one_invoice_is_paid_once(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        """This happens when two platforms with the same numbers use one account."""
        first, payment = approve(paypal, account)
        complete(first, payment)
        second, other = approve(paypal, account, reference=first.reference)
        answer = complete(second, other)
        assert isinstance(answer, Declined)
        assert answer.code == "duplicate_invoice_id"
        assert paypal.get_amounts(first.reference) == (100, 0)

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("PENDING", PaymentState.PROCESSING),
            ("DECLINED", PaymentState.DECLINED),
            ("FAILED", PaymentState.DECLINED),
        ],
    )
    def test_captures_that_are_not_completed(
        self, paypal: FakePayPal, account: ChannelAccount, status: str, state: PaymentState
    ) -> None:
        request, payment = approve(paypal, account)
        paypal.account.capture_status = (status, "PENDING_REVIEW" if status == "PENDING" else "")
        answer = complete(request, payment)
        assert (answer.value.state, answer.value.captured_minor) == (state, 0)
        refused = channel.refund_payment(build_refund(request, payment, 100))
        assert isinstance(refused, Declined)

    def test_an_authorization_is_no_capture(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account, manual_capture=True)
        wrong = complete(replace(request, manual_capture=False), payment)
        assert isinstance(wrong, InvalidRequest)
        assert complete(request, payment).value.state == PaymentState.AUTHORIZED
        assert paypal.get_amounts(request.reference) == (0, 0)

    @pytest.mark.parametrize("loses", [Fault.LOSE_ANSWER, Fault.FAIL_AFTER])
    def test_a_lost_capture_or_void_of_an_authorization_is_done_once(
        self, paypal: FakePayPal, account: ChannelAccount, loses: Fault
    ) -> None:
        for action in ("capture", "void"):
            request, payment = approve(paypal, account, manual_capture=True)
            complete(request, payment)
            ref = build_ref(request, payment.channel_trade_no)
            paypal.plan_fault(loses, f"POST /v2/payments/authorizations/.*/{action}")
            assert isinstance(end_authorization(action, ref), UnknownOutcome)
            paypal.advance_clock(46 * 24 * HOUR)
            ended = PaymentState.PAID if action == "capture" else PaymentState.CANCELLED
            assert end_authorization(action, ref).value.state == ended
            assert paypal.get_amounts(request.reference) == (40 if action == "capture" else 0, 0)

    @pytest.mark.parametrize(
        ("ours", "theirs", "state"),
        [
            ("capture", "capture", PaymentState.PAID),
            ("capture", "void", PaymentState.CANCELLED),
            ("void", "capture", PaymentState.PAID),
            ("void", "void", PaymentState.CANCELLED),
        ],
    )
    def test_staff_end_the_authorization_on_paypals_site_first(
        self, paypal: FakePayPal, account: ChannelAccount, ours: str, theirs: str, state: PaymentState
    ) -> None:
        request, payment = approve(paypal, account, manual_capture=True)
        complete(request, payment)
        [number] = [
            each["id"]
            for each in paypal.account.authorizations.values()
            if each["custom_id"] == request.reference
        ]
        at_paypal = paypal.account
        act = {
            "capture": lambda: at_paypal.capture_authorization(number, {"final_capture": True}),
            "void": lambda: at_paypal.void(number),
        }
        paypal.run_before(f"POST /v2/payments/authorizations/{number}/{ours}", act[theirs])
        answer = end_authorization(ours, build_ref(request, payment.channel_trade_no))
        assert isinstance(answer, Reported)
        assert answer.value.state == state
        assert paypal.get_amounts(request.reference) == (100 if theirs == "capture" else 0, 0)


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "result"),
        [
            (Fault.UNAVAILABLE, UnknownOutcome),
            (Fault.FAIL_AFTER, UnknownOutcome),
            (Fault.GARBAGE, UnknownOutcome),
            (Fault.IN_PROGRESS, UnknownOutcome),
            (Fault.RATE_LIMITED, NotProcessed),
        ],
    )
    def test_an_order_is_created_once_after_a_failure(
        self, paypal: FakePayPal, account: ChannelAccount, fault: Fault, result: type
    ) -> None:
        paypal.plan_fault(fault, ORDERS)
        request = build_creation(account=account)
        answer = channel.create_payment(request)
        assert isinstance(answer, result), answer
        assert isinstance(channel.create_payment(request), Reported)
        ours = [
            o
            for o in paypal.account.orders.values()
            if o["purchase_units"][0]["custom_id"] == request.reference
        ]
        assert len(ours) == 1

    def test_a_404_of_a_proxy_says_nothing_about_the_payment(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        """PayPal's own has the name RESOURCE_NOT_FOUND (developer.paypal.com/api/rest/reference/orders/v2/errors)."""
        request, payment = approve(paypal, account, manual_capture=True)
        complete(request, payment)
        ref = build_ref(request, payment.channel_trade_no)
        for call in (
            lambda: channel.find_payment(ref),
            lambda: channel.find_payment(replace(ref, reference="")),
            lambda: channel.cancel_payment(CancelPayment("void-once", ref)),
            lambda: complete(request, payment),
        ):
            paypal.plan_fault(Fault.NO_SUCH_PAGE, "(GET|POST) /v2/checkout/orders/.*")
            assert isinstance(call(), UnknownOutcome)
        assert find(request, payment).state == PaymentState.AUTHORIZED

    def test_retry_after_of_paypal_is_respected(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        paypal.plan_fault(Fault.RATE_LIMITED, ORDERS)
        answer = channel.create_payment(build_creation(account=account))
        assert isinstance(answer, NotProcessed)
        assert answer.retry_after_seconds == 2

    def test_a_refused_connection_is_not_processed(self, account: ChannelAccount, settings: Any) -> None:
        settings.PAYPAL_API_BASE = "http://127.0.0.1:1"
        answer = channel.create_payment(build_creation(account=account))
        assert isinstance(answer, NotProcessed)

    def test_addresses_that_paypal_refuses_are_our_error(self, account: ChannelAccount) -> None:
        answer = channel.create_payment(build_creation(account=account, return_url="myapp://paid"))
        assert isinstance(answer, InvalidRequest)

    def test_a_refund_is_not_lost_when_its_key_has_lapsed(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        request, payment = approve(paypal, account)
        complete(request, payment)
        refund = build_refund(request, payment, 10_000)
        paypal.plan_fault(Fault.LOSE_ANSWER, "POST /v2/payments/captures/.*/refund")
        assert isinstance(channel.refund_payment(refund), UnknownOutcome)
        paypal.advance_clock(46 * 24 * HOUR)
        again = channel.refund_payment(refund)
        assert isinstance(again, Reported)
        assert (again.value.reference, again.value.state) == (refund.reference, RefundState.SUCCEEDED)
        assert paypal.get_amounts(request.reference) == (100, 100)

    def test_a_pending_refund_ends_later(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        complete(request, payment)
        paypal.account.refund_status = "PENDING"
        refund = build_refund(request, payment, 4_000)
        pending = channel.refund_payment(refund)
        assert isinstance(pending, Reported)
        assert pending.value.state == RefundState.PENDING
        paypal.account.settle_refund(pending.value.channel_refund_no, "FAILED")
        ended = channel.find_refund(RefundRef(refund.reference, refund.payment))
        assert isinstance(ended, Reported)
        assert (ended.value.state, ended.value.failure_code) == (RefundState.FAILED, "refund_failed")

    def test_the_payment_of_a_capture_is_found(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        complete(request, payment)
        [capture_id] = [
            each["id"] for each in paypal.account.captures.values() if each["custom_id"] == request.reference
        ]
        found = channel.find_payment(PaymentRef("", account, 10.0, capture_id))
        assert isinstance(found, Reported)
        assert (found.value.reference, found.value.channel_trade_no) == (
            request.reference,
            payment.channel_trade_no,
        )
        assert channel.find_payment(PaymentRef("", account, 10.0, "NOBODYS")) == NotFoundAtChannel()


class TestAccessTokens:
    def test_one_token_serves_many_calls(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        for _ in range(3):
            create(account)
        assert paypal.requests_seen.count(TOKEN) == 1

    def test_a_token_that_is_refused_is_renewed_once(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        create(account)
        paypal.plan_fault(Fault.EXPIRED_TOKEN, ORDERS)
        create(account)
        assert paypal.requests_seen.count(TOKEN) == 2
        paypal.plan_fault(Fault.EXPIRED_TOKEN, ORDERS).plan_fault(Fault.EXPIRED_TOKEN, ORDERS)
        assert isinstance(channel.create_payment(build_creation(account=account)), NotProcessed)
        assert paypal.requests_seen.count(TOKEN) == 3

    def test_without_a_token_nothing_is_sent(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        for fault in (Fault.LOSE_ANSWER, Fault.UNAVAILABLE, Fault.GARBAGE, Fault.RATE_LIMITED):
            paypal.plan_fault(fault, TOKEN)
            assert isinstance(channel.create_payment(build_creation(account=account)), NotProcessed)
        assert ORDERS not in paypal.requests_seen

    def test_threads_share_one_request(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        found: list[str] = []

        def read() -> None:
            found.append(
                tokens.get_token(paypal.url, PayPalCredentials.read(account.credentials), Deadline(10.0))
            )

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1
        assert paypal.requests_seen.count(TOKEN) == 1

    def test_accounts_have_tokens_of_their_own(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        paypal.api.credentials["Another"] = "secret"
        other = replace(account, credentials={"client_id": "Another", "client_secret": "secret"})
        create(account)
        create(other)
        assert paypal.requests_seen.count(TOKEN) == 2

    def test_the_memory_is_bounded(
        self, paypal: FakePayPal, account: ChannelAccount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "MAX_KEPT", 2)
        for number in range(4):
            paypal.api.credentials[f"App{number}"] = "secret"
            create(replace(account, credentials={"client_id": f"App{number}", "client_secret": "secret"}))
        assert len(tokens._kept) == 2

    def test_a_wrong_secret_decides_nothing(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        """The secret may be under rotation, so a capture or refund must not fail for good."""
        request, payment = create(account)
        paypal.api.credentials.clear()
        tokens.forget_tokens()
        answer = channel.find_payment(build_ref(request, payment.channel_trade_no))
        assert isinstance(answer, InvalidRequest)
        assert (answer.code, answer.is_query) == ("invalid_client", True)
        assert isinstance(channel.create_payment(build_creation(account=account)), NotProcessed)


class TestCredentials:
    def check(self, account: ChannelAccount, **changes: str) -> Any:
        changed = replace(account, credentials={**account.credentials, **changes})
        return channel.check_credentials(changed, 10.0)

    def test_credentials_are_checked(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        assert self.check(account) == CredentialsAccepted()
        assert self.check(account, webhook_id="") == CredentialsAccepted()
        for changes, field in (
            ({"client_secret": "wrong"}, "client_secret"),
            ({"webhook_id": "0NOTTHEIRS"}, "webhook_id"),
            ({"webhook_id": "../orders"}, "webhook_id"),
        ):
            refused = self.check(account, **changes)
            assert isinstance(refused, CredentialsRefused)
            assert refused.field == field

    @pytest.mark.parametrize("request_line", [TOKEN, "GET /v1/notifications/webhooks/.*"])
    def test_without_an_answer_nothing_is_known(
        self, paypal: FakePayPal, account: ChannelAccount, request_line: str
    ) -> None:
        paypal.plan_fault(Fault.UNAVAILABLE, request_line)
        assert isinstance(self.check(account), CredentialsUnchecked)

    def test_the_platforms_account_needs_its_settings(self, settings: Any) -> None:
        names = ("client_id", "client_secret", "webhook_id")
        settings.PAYPAL_CREDENTIALS = {"test": dict.fromkeys(names, ""), "live": dict.fromkeys(names, "x")}
        assert channel.get_unavailable_reason("test") == "PAYPAL_TEST_CLIENT_ID is not set"
        assert channel.get_unavailable_reason("live") is None

    def test_the_fake_has_paypals_operations(self) -> None:
        operation = specification.find_operation("POST", "/v2/checkout/orders/5O190127TN364715T/capture")
        assert (operation.body, operation.answer) == ("OrderCaptureRequest", "Order")
        assert "paypal-request-id" in operation.headers
        with pytest.raises(specification.NotPublished):
            specification.find_operation("POST", "/v2/checkout/orders/5O190127TN364715T/cancel")
        with pytest.raises(specification.NotPublished):
            specification.require_valid("Order", {"id": "5O190127TN364715T", "reference": "PAY-1"})


def test_the_fakes_credentials_are_those_of_the_settings(account: ChannelAccount) -> None:
    assert dict(account.credentials) == {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "webhook_id": WEBHOOK_ID,
    }

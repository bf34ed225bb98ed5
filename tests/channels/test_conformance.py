"""What every channel must do, whoever serves it. A new channel adds a rig, and no test."""

import datetime as dt
from dataclasses import replace

import pytest

from channels.base import (
    CancelPayment,
    CapturePayment,
    Declined,
    InvalidRequest,
    ListingWindow,
    NotFoundAtChannel,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
    WebhookRefused,
)
from tests.channels.rigs import Rig, creation, opened, paid, ref_of, refund_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


class TestCreation:
    def test_it_answers_where_to_pay(self, rig: Rig) -> None:
        request = rig.creation()
        payment = opened(rig, request)
        assert (payment.reference, payment.amount_minor, payment.currency) == (
            request.reference,
            10_000,
            "USD",
        )
        assert payment.channel_trade_no
        assert payment.state == (PaymentState.PAID if rig.pays_at_once else PaymentState.OPEN)
        assert bool(payment.payment_url) is not rig.pays_at_once

    @pytest.mark.parametrize("loses", ["", "request", "answer"])
    def test_one_key_is_one_payment(self, rig: Rig, loses: str) -> None:
        request = rig.creation(loses=loses)
        answers = [rig.channel.create_payment(request) for _ in range(3)]
        if loses:
            assert isinstance(answers.pop(0), UnknownOutcome)
        assert answers[0] == answers[1]
        assert isinstance(answers[0], Reported)
        if not rig.pays_at_once:
            rig.pay(answers[0].value)
        assert rig.money(request.reference) == (10_000, 0)

    def test_an_answer_that_was_lost_is_found_by_our_number(self, rig: Rig) -> None:
        request = rig.creation(loses="answer")
        assert isinstance(rig.channel.create_payment(request), UnknownOutcome)
        found = rig.channel.find_payment(ref_of(request))
        assert isinstance(found, Reported)
        assert found.value.reference == request.reference
        assert rig.channel.find_payment(ref_of(request, found.value.channel_trade_no)) == found

    def test_what_never_arrived_is_missing(self, rig: Rig) -> None:
        request = rig.creation(loses="request")
        assert isinstance(rig.channel.create_payment(request), UnknownOutcome)
        assert rig.channel.find_payment(ref_of(request)) == NotFoundAtChannel()
        assert rig.money(request.reference) == (0, 0)

    @pytest.mark.parametrize(("amount", "currency"), [(500, "JPY"), (500, "ISK"), (5_120, "KWD")])
    def test_currencies_of_other_exponents(self, rig: Rig, amount: int, currency: str) -> None:
        request = rig.creation(amount_minor=amount, currency=currency)
        payment = paid(rig, request)
        assert (payment.amount_minor, payment.captured_minor, payment.currency) == (amount, amount, currency)

    def test_no_metadata_of_a_merchant_stops_or_changes_a_payment(self, rig: Rig) -> None:
        """Names and values that a channel may not take, and names that could be the channel's own labels."""
        request = rig.creation()
        awkward = {
            "": "no name",
            "a[b]": "brackets",
            "empty": "",
            "long": "x" * 500,
            "n" * 40: "a long name",
            "reference": "PAY-OF-ANOTHER",
            "payment_no": "PAY-OF-ANOTHER",
            "payment_platform_payment_no": "PAY-OF-ANOTHER",
            "payment_platform_environment": "live",
            **{f"name {number}": "many" for number in range(60)},
        }
        payment = opened(rig, replace(request, metadata={**awkward, **request.metadata}))
        found = rig.channel.find_payment(ref_of(request, payment.channel_trade_no))
        assert isinstance(found, Reported)
        assert (payment.reference, found.value.reference) == (request.reference, request.reference)


class TestCancel:
    def test_an_unpaid_payment_ends_for_good(self, page_rig: Rig) -> None:
        rig, request = page_rig, page_rig.creation()
        payment = opened(rig, request)
        cancel = CancelPayment("cancel-1" + request.reference, ref_of(request, payment.channel_trade_no))
        for _ in range(2):
            answer = rig.channel.cancel_payment(cancel)
            assert isinstance(answer, Reported)
            assert answer.value.state == PaymentState.CANCELLED
        assert rig.money(request.reference) == (0, 0)

    def test_it_finds_what_it_is_to_cancel_by_our_number(self, rig: Rig) -> None:
        request = rig.creation(loses="answer", manual_capture=True)
        rig.channel.create_payment(request)
        answer = rig.channel.cancel_payment(CancelPayment("cancel-" + request.reference, ref_of(request)))
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.CANCELLED

    def test_a_paid_payment_says_so(self, rig: Rig) -> None:
        request = rig.creation()
        payment = paid(rig, request)
        cancel = CancelPayment("cancel-" + request.reference, ref_of(request, payment.channel_trade_no))
        answer = rig.channel.cancel_payment(cancel)
        assert isinstance(answer, Reported)
        assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, 10_000)
        assert rig.money(request.reference) == (10_000, 0)

    def test_what_was_never_heard_of(self, rig: Rig) -> None:
        request = creation()
        answer = rig.channel.cancel_payment(CancelPayment("cancel-" + request.reference, ref_of(request)))
        never = isinstance(answer, Reported) and answer.value.state == PaymentState.CANCELLED
        assert never or answer == NotFoundAtChannel()

    def test_a_held_amount_is_released(self, rig: Rig) -> None:
        request = rig.creation(manual_capture=True)
        payment = paid(rig, request)
        assert payment.state == PaymentState.AUTHORIZED
        cancel = CancelPayment("cancel-" + request.reference, ref_of(request, payment.channel_trade_no))
        answer = rig.channel.cancel_payment(cancel)
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.CANCELLED
        assert rig.money(request.reference) == (0, 0)


class TestCapture:
    @pytest.mark.parametrize("amount", [10_000, 2_500])
    def test_all_or_part_once(self, rig: Rig, amount: int) -> None:
        request = rig.creation(manual_capture=True)
        payment = paid(rig, request)
        ref = ref_of(request, payment.channel_trade_no)
        capture = CapturePayment("capture-" + request.reference, ref, amount)
        for _ in range(2):
            answer = rig.channel.capture_payment(capture)
            assert isinstance(answer, Reported)
            assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, amount)
        another = rig.channel.capture_payment(replace(capture, key="another-" + request.reference))
        assert isinstance(another, Reported | Declined)
        assert rig.money(request.reference)[0] == amount

    def test_what_does_not_exist_is_refused(self, rig: Rig) -> None:
        request = creation(manual_capture=True)
        answer = rig.channel.capture_payment(CapturePayment("c-" + request.reference, ref_of(request), 1))
        assert isinstance(answer, Declined | InvalidRequest | NotFoundAtChannel)


class TestRefunds:
    def test_several_up_to_what_was_paid(self, rig: Rig) -> None:
        request = rig.creation()
        payment = paid(rig, request)
        for amount in (4_000, 6_000):
            answer = rig.channel.refund_payment(refund_of(request, payment, amount))
            assert isinstance(answer, Reported)
            assert (answer.value.state, answer.value.amount_minor) == (RefundState.SUCCEEDED, amount)
        assert isinstance(rig.channel.refund_payment(refund_of(request, payment, 1)), Declined)
        assert rig.money(request.reference) == (10_000, 10_000)

    @pytest.mark.parametrize("loses", ["request", "answer"])
    def test_one_key_is_one_refund(self, rig: Rig, loses: str) -> None:
        request = rig.creation()
        payment = paid(rig, request)
        refund = rig.losing(refund_of(request, payment, 3_000), loses)
        ref = RefundRef(refund.reference, refund.payment)
        assert isinstance(rig.channel.refund_payment(refund), UnknownOutcome)
        found = rig.channel.find_refund(ref)
        assert isinstance(found, Reported if loses == "answer" else NotFoundAtChannel)
        repeated = rig.channel.refund_payment(refund)
        assert isinstance(repeated, Reported)
        assert rig.channel.find_refund(ref) == repeated
        known = replace(ref, channel_refund_no=repeated.value.channel_refund_no)
        assert rig.channel.find_refund(known) == repeated
        assert rig.money(request.reference) == (10_000, 3_000)

    def test_nothing_was_paid(self, page_rig: Rig) -> None:
        request = page_rig.creation()
        payment = opened(page_rig, request)
        assert isinstance(page_rig.channel.refund_payment(refund_of(request, payment, 1)), Declined)

    def test_another_number_is_another_refund(self, rig: Rig) -> None:
        request = rig.creation()
        payment = paid(rig, request)
        rig.channel.refund_payment(refund_of(request, payment, 100))
        other = refund_of(request, payment, 100)
        assert rig.channel.find_refund(RefundRef(other.reference, other.payment)) == NotFoundAtChannel()


class TestLists:
    def test_they_hold_what_was_made_in_their_time(self, rig: Rig) -> None:
        request = rig.creation()
        payment = paid(rig, request)
        refund = refund_of(request, payment, 500)
        rig.channel.refund_payment(refund)
        now = dt.datetime.now(dt.UTC)
        minute = dt.timedelta(minutes=1)
        around = ListingWindow("test", now - minute, now + minute, 10.0)
        before = ListingWindow("test", now - 10 * minute, now - 5 * minute, 10.0)
        listed = {entry.value.reference: entry for entry in rig.channel.list_payments(around)}
        assert listed[request.reference].value.captured_minor == 10_000
        assert around.since <= listed[request.reference].created_at < around.until
        refunds = {entry.value.reference: entry.value for entry in rig.channel.list_refunds(around)}
        assert refunds[refund.reference].amount_minor == 500
        assert refunds[refund.reference].payment_reference == request.reference
        assert request.reference not in {e.value.reference for e in rig.channel.list_payments(before)}
        assert refund.reference not in {e.value.reference for e in rig.channel.list_refunds(before)}


class TestWebhooks:
    @pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "evt_1"}', b"\xff\xfe", b"[" * 10_000])
    def test_what_the_channel_did_not_sign_is_refused(self, rig: Rig, body: bytes) -> None:
        for headers in ({}, {"Stripe-Signature": "t=1,v1=00"}, {"Stripe-Signature": "\ud800"}):
            with pytest.raises(WebhookRefused):
                rig.channel.parse_webhook(body=body, headers=headers)

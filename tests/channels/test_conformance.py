"""Rules for the port of every channel. A new channel adds a harness, and no test."""

import datetime as dt
from dataclasses import replace

import pytest

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    ListingWindow,
    NotFoundAtChannel,
    NotYet,
    PaymentState,
    QrCodeAction,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
    WebhookRefused,
    WebhookRequest,
)
from tests.channels.harness import (
    ChannelHarness,
    build_creation,
    build_ref,
    build_refund,
    create_open,
    create_paid,
    pay,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def require_one_payment(harness: ChannelHarness, request: CreatePayment) -> None:
    first, second = (create_open(harness, request) for _ in range(2))
    if isinstance(first.next_action, QrCodeAction):
        # A channel may return another code for the same payment.
        second = replace(second, next_action=first.next_action)
    assert first == second
    pay(harness, request, first)
    assert harness.read_amounts(request.reference) == (10_000, 0)


class TestCreation:
    def test_creation_reports_the_payment_and_its_page(self, harness: ChannelHarness) -> None:
        request = harness.build_creation()
        payment = create_open(harness, request)
        assert (payment.reference, payment.amount_minor, payment.currency) == (
            request.reference,
            10_000,
            harness.currency,
        )
        assert payment.state == (PaymentState.PAID if harness.pays_at_once else PaymentState.OPEN)
        assert bool(payment.next_action) is not harness.pays_at_once

    def test_one_key_creates_one_payment(self, harness: ChannelHarness) -> None:
        require_one_payment(harness, harness.build_creation())

    @pytest.mark.parametrize("loses", ["request", "answer"])
    def test_one_key_creates_one_payment_when_a_call_was_lost(
        self, calling_harness: ChannelHarness, loses: str
    ) -> None:
        request = calling_harness.build_creation(loses=loses)
        assert isinstance(calling_harness.channel.create_payment(request), UnknownOutcome)
        require_one_payment(calling_harness, request)

    def test_a_payment_whose_answer_was_lost_is_found_by_our_number(
        self, searchable_harness: ChannelHarness
    ) -> None:
        request = searchable_harness.build_creation(loses="answer")
        assert isinstance(searchable_harness.channel.create_payment(request), UnknownOutcome)
        found = searchable_harness.channel.find_payment(build_ref(request))
        assert isinstance(found, Reported)
        assert found.value.reference == request.reference
        assert (
            searchable_harness.channel.find_payment(build_ref(request, found.value.channel_trade_no)) == found
        )

    def test_a_creation_that_never_arrived_is_not_found(self, stored_harness: ChannelHarness) -> None:
        request = stored_harness.build_creation(loses="request")
        assert isinstance(stored_harness.channel.create_payment(request), UnknownOutcome)
        assert stored_harness.channel.find_payment(build_ref(request)) == NotFoundAtChannel()
        assert stored_harness.read_amounts(request.reference) == (0, 0)

    @pytest.mark.parametrize(("amount", "currency"), [(500, "JPY"), (500, "ISK"), (5_120, "KWD")])
    def test_currencies_of_other_exponents(
        self, worldwide_harness: ChannelHarness, amount: int, currency: str
    ) -> None:
        request = worldwide_harness.build_creation(amount_minor=amount, currency=currency)
        payment = create_paid(worldwide_harness, request)
        assert (payment.amount_minor, payment.captured_minor, payment.currency) == (amount, amount, currency)

    def test_metadata_of_a_merchant_neither_prevents_nor_changes_a_payment(
        self, stored_harness: ChannelHarness
    ) -> None:
        """Names and values that a channel may refuse, and names of our own metadata entries."""
        request = stored_harness.build_creation()
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
        payment = create_open(stored_harness, replace(request, metadata={**awkward, **request.metadata}))
        found = stored_harness.channel.find_payment(build_ref(request, payment.channel_trade_no))
        assert isinstance(found, Reported)
        assert (payment.reference, found.value.reference) == (request.reference, request.reference)


class TestCancel:
    def test_an_unpaid_payment_is_cancelled_for_good(self, stored_page_harness: ChannelHarness) -> None:
        harness, request = stored_page_harness, stored_page_harness.build_creation()
        payment = create_open(harness, request)
        cancel = CancelPayment("cancel-1" + request.reference, build_ref(request, payment.channel_trade_no))
        for _ in range(2):
            answer = harness.channel.cancel_payment(cancel)
            assert isinstance(answer, Reported)
            assert answer.value.state == PaymentState.CANCELLED
        assert harness.read_amounts(request.reference) == (0, 0)

    def test_the_payment_to_cancel_is_found_by_our_number(
        self, searchable_capture_harness: ChannelHarness
    ) -> None:
        harness = searchable_capture_harness
        request = harness.build_creation(loses="answer", manual_capture=True)
        harness.channel.create_payment(request)
        answer = harness.channel.cancel_payment(
            CancelPayment("cancel-" + request.reference, build_ref(request))
        )
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.CANCELLED

    def test_cancelling_a_paid_payment_reports_it_as_paid(self, harness: ChannelHarness) -> None:
        request = harness.build_creation()
        payment = create_paid(harness, request)
        cancel = CancelPayment("cancel-" + request.reference, build_ref(request, payment.channel_trade_no))
        answer = harness.channel.cancel_payment(cancel)
        assert isinstance(answer, Reported)
        assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, 10_000)
        assert harness.read_amounts(request.reference) == (10_000, 0)

    def test_cancelling_an_unknown_payment(self, harness: ChannelHarness) -> None:
        request = build_creation(account=harness.account)
        answer = harness.channel.cancel_payment(
            CancelPayment("cancel-" + request.reference, build_ref(request))
        )
        never = isinstance(answer, Reported) and answer.value.state == PaymentState.CANCELLED
        assert never or isinstance(answer, NotFoundAtChannel | NotYet)

    def test_cancelling_releases_an_authorized_amount(self, capture_harness: ChannelHarness) -> None:
        request = capture_harness.build_creation(manual_capture=True)
        payment = create_paid(capture_harness, request)
        assert payment.state == PaymentState.AUTHORIZED
        cancel = CancelPayment("cancel-" + request.reference, build_ref(request, payment.channel_trade_no))
        answer = capture_harness.channel.cancel_payment(cancel)
        assert isinstance(answer, Reported)
        assert answer.value.state == PaymentState.CANCELLED
        assert capture_harness.read_amounts(request.reference) == (0, 0)


class TestCapture:
    @pytest.mark.parametrize("amount", [10_000, 2_500])
    def test_all_or_a_part_is_captured_once(self, capture_harness: ChannelHarness, amount: int) -> None:
        request = capture_harness.build_creation(manual_capture=True)
        payment = create_paid(capture_harness, request)
        ref = build_ref(request, payment.channel_trade_no)
        capture = CapturePayment("capture-" + request.reference, ref, amount)
        for _ in range(2):
            answer = capture_harness.channel.capture_payment(capture)
            assert isinstance(answer, Reported)
            assert (answer.value.state, answer.value.captured_minor) == (PaymentState.PAID, amount)
        another = capture_harness.channel.capture_payment(
            replace(capture, key="another-" + request.reference)
        )
        assert isinstance(another, Reported | Declined)
        assert capture_harness.read_amounts(request.reference)[0] == amount

    def test_capturing_an_unknown_payment_is_refused(self, capture_harness: ChannelHarness) -> None:
        request = build_creation(account=capture_harness.account, manual_capture=True)
        answer = capture_harness.channel.capture_payment(
            CapturePayment("c-" + request.reference, build_ref(request), 1)
        )
        assert isinstance(answer, Declined | InvalidRequest | NotFoundAtChannel)


class TestRefunds:
    def test_several_refunds_up_to_what_was_paid(self, harness: ChannelHarness) -> None:
        request = harness.build_creation()
        payment = create_paid(harness, request)
        for amount in (4_000, 6_000):
            refund = build_refund(request, payment, amount)
            answer = harness.channel.refund_payment(refund)
            assert isinstance(answer, Reported)
            harness.settle_refunds()
            settled = harness.channel.find_refund(RefundRef(refund.reference, refund.payment))
            assert isinstance(settled, Reported)
            assert (settled.value.state, settled.value.amount_minor) == (RefundState.SUCCEEDED, amount)
            harness.pass_refund_pause()
        assert isinstance(harness.channel.refund_payment(build_refund(request, payment, 1)), Declined)
        assert harness.read_amounts(request.reference) == (10_000, 10_000)

    @pytest.mark.parametrize("loses", ["request", "answer"])
    def test_one_key_creates_one_refund(self, harness: ChannelHarness, loses: str) -> None:
        request = harness.build_creation()
        payment = create_paid(harness, request)
        refund = harness.lose(build_refund(request, payment, 3_000), loses)
        ref = RefundRef(refund.reference, refund.payment)
        assert isinstance(harness.channel.refund_payment(refund), UnknownOutcome)
        found = harness.channel.find_refund(ref)
        assert isinstance(found, Reported if loses == "answer" else NotFoundAtChannel)
        repeated = harness.channel.refund_payment(refund)
        assert isinstance(repeated, Reported)
        harness.settle_refunds()
        settled = harness.channel.find_refund(ref)
        assert isinstance(settled, Reported)
        assert settled.value.state == RefundState.SUCCEEDED
        known = replace(ref, channel_refund_no=settled.value.channel_refund_no)
        assert harness.channel.find_refund(known) == settled
        assert harness.read_amounts(request.reference) == (10_000, 3_000)

    def test_an_unpaid_payment_cannot_be_refunded(self, page_harness: ChannelHarness) -> None:
        request = page_harness.build_creation()
        payment = create_open(page_harness, request)
        assert isinstance(page_harness.channel.refund_payment(build_refund(request, payment, 1)), Declined)

    def test_a_refund_is_not_found_under_another_number(self, harness: ChannelHarness) -> None:
        request = harness.build_creation()
        payment = create_paid(harness, request)
        harness.channel.refund_payment(build_refund(request, payment, 100))
        other = build_refund(request, payment, 100)
        assert harness.channel.find_refund(RefundRef(other.reference, other.payment)) == NotFoundAtChannel()


class TestListing:
    def test_a_list_contains_what_was_created_in_its_window(self, harness: ChannelHarness) -> None:
        request = harness.build_creation()
        payment = create_paid(harness, request)
        refund = build_refund(request, payment, 500)
        harness.channel.refund_payment(refund)
        harness.settle_refunds()
        now = dt.datetime.now(dt.UTC)
        harness.publish_lists()
        hour = dt.timedelta(hours=1)
        around = ListingWindow(harness.account, now - hour, now + hour, 10.0)
        before = ListingWindow(harness.account, now - 10 * hour, now - 5 * hour, 10.0)
        listed = {entry.value.reference: entry for entry in harness.channel.list_payments(around)}
        assert listed[request.reference].value.captured_minor == 10_000
        assert around.since <= listed[request.reference].created_at < around.until
        refunds = {entry.value.reference: entry.value for entry in harness.channel.list_refunds(around)}
        assert refunds[refund.reference].amount_minor == 500
        assert refunds[refund.reference].payment_reference == request.reference
        assert request.reference not in {e.value.reference for e in harness.channel.list_payments(before)}
        assert refund.reference not in {e.value.reference for e in harness.channel.list_refunds(before)}


class TestWebhooks:
    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"id": "evt_1"}', b"\xff\xfe", b"[" * 10_000, b"a=b&sign=c"]
    )
    def test_a_body_that_the_channel_did_not_sign_is_refused(
        self, harness: ChannelHarness, body: bytes
    ) -> None:
        for headers in ({}, {"Stripe-Signature": "t=1,v1=00"}, {"Stripe-Signature": "\ud800"}):
            with pytest.raises(WebhookRefused):
                harness.channel.parse_webhook(harness.account, WebhookRequest(body, headers))

    def test_a_webhook_reports_the_paid_payment_twice_in_the_same_way(self, harness: ChannelHarness) -> None:
        request, webhooks = take_webhooks_of_payment(harness)
        events = [harness.channel.parse_webhook(harness.account, each) for each in webhooks]
        paid = [
            update
            for event in events
            for update in event.updates
            if isinstance(update, ChannelPayment) and update.state == PaymentState.PAID
        ]
        assert paid
        for update in paid:
            assert (update.reference, update.captured_minor) == (request.reference, 10_000)
            assert (update.amount_minor, update.currency) == (10_000, harness.currency)
        assert events == [harness.channel.parse_webhook(harness.account, each) for each in webhooks]

    def test_a_changed_webhook_is_refused(self, harness: ChannelHarness) -> None:
        _request, webhooks = take_webhooks_of_payment(harness)
        for webhook in webhooks:
            middle = len(webhook.body) // 2
            other_byte = bytes([webhook.body[middle] ^ 1])
            changed = webhook.body[:middle] + other_byte + webhook.body[middle + 1 :]
            for body in (webhook.body[:-1], webhook.body + b"x", changed):
                with pytest.raises(WebhookRefused):
                    harness.channel.parse_webhook(harness.account, WebhookRequest(body, webhook.headers))

    def test_a_webhook_without_its_signature_is_refused(self, harness: ChannelHarness) -> None:
        _request, webhooks = take_webhooks_of_payment(harness)
        for webhook in webhooks:
            for name in [each for each in webhook.headers if "sig" in each.lower()]:
                for value in ("", webhook.headers[name][:-4], webhook.headers[name][::-1]):
                    forged = WebhookRequest(webhook.body, {**webhook.headers, name: value})
                    with pytest.raises(WebhookRefused):
                        harness.channel.parse_webhook(harness.account, forged)


def take_webhooks_of_payment(harness: ChannelHarness) -> tuple[CreatePayment, list[WebhookRequest]]:
    harness.take_webhooks()
    request = harness.build_creation()
    create_paid(harness, request)
    webhooks = harness.take_webhooks()
    assert webhooks
    return request, webhooks

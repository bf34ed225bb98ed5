"""Rules of Stripe that the fake follows, each with its page of documentation. Rules of the schema are checked on every
call (tests/support/stripe/specification.py)."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from channels.stripe.metadata import PAYMENT_NO
from tests.support.stripe.client import build_test_client
from tests.support.stripe.fake import DECLINED_CARD, SLOW_DEBIT, VISA, VOUCHER, FakeStripe, Fault
from tests.support.stripe.intents import fail_intent
from tests.support.stripe.specification import JsonObject, NotPublished, require_valid_object

HOUR = 3600
_keys = (f"key-{number}" for number in itertools.count(1))


@pytest.fixture
def api(fake: FakeStripe) -> stripe.StripeClient:
    return build_test_client(10.0)


def page(fake: FakeStripe, **changes: Any) -> Any:
    price = {"currency": "usd", "unit_amount": 10_000, "product_data": {"name": "Coffee"}}
    return {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "success_url": "https://shop.example/",
        "expires_at": fake.account.now() + HOUR,
        **changes,
    }


def charge(**changes: Any) -> Any:
    return {"amount": 10_000, "currency": "usd", "payment_method": VISA, "confirm": True,
            "return_url": "https://shop.example/", **changes}  # fmt: skip


def with_key(key: str) -> Any:
    return {"idempotency_key": key}


def refused(error: pytest.ExceptionInfo[stripe.StripeError]) -> tuple[int | None, str | None]:
    return error.value.http_status, error.value.code


class TestKeys:
    """docs.stripe.com/api/idempotent_requests"""

    def test_a_repetition_gets_the_first_response(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        key, params = next(_keys), page(fake)
        first = api.v1.checkout.sessions.create(params, with_key(key))
        again = api.v1.checkout.sessions.create(params, with_key(key))
        assert again.id == first.id
        assert first.last_response.headers.get("Idempotent-Replayed") is None
        assert again.last_response.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.FAIL_AFTER])
    def test_a_repetition_gets_a_stored_500(
        self, fake: FakeStripe, api: stripe.StripeClient, fault: Fault
    ) -> None:
        key, before = next(_keys), len(fake.intents)
        fake.plan_fault(fault, "POST /v1/payment_intents")
        for _attempt in range(2):
            with pytest.raises(stripe.APIError) as error:
                api.v1.payment_intents.create(charge(), with_key(key))
            assert error.value.http_status == 500
        assert len(fake.intents) - before == (fault is Fault.FAIL_AFTER)
        assert error.value.headers["Idempotent-Replayed"] == "true"

    def test_a_503_before_the_execution_is_not_stored(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        key = next(_keys)
        fake.plan_fault(Fault.UNAVAILABLE, "POST /v1/payment_intents")
        with pytest.raises(stripe.APIError):
            api.v1.payment_intents.create(charge(), with_key(key))
        assert api.v1.payment_intents.create(charge(), with_key(key)).status == "succeeded"

    def test_a_key_is_bound_to_endpoint_and_parameters(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        key = next(_keys)
        made = api.v1.payment_intents.create(charge(capture_method="manual"), with_key(key))
        with pytest.raises(stripe.IdempotencyError) as error:
            api.v1.payment_intents.create(charge(amount=1_000), with_key(key))
        assert error.value.http_status == 400
        with pytest.raises(stripe.IdempotencyError):
            api.v1.payment_intents.cancel(made.id, {}, with_key(key))
        assert fake.get_intent(made.id)["status"] == "requires_capture"

    def test_a_key_is_forgotten_after_a_day(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        key = next(_keys)
        first = api.v1.payment_intents.create(charge(), with_key(key))
        fake.advance_clock(23 * HOUR)
        assert api.v1.payment_intents.create(charge(), with_key(key)).id == first.id
        fake.advance_clock(HOUR)
        assert api.v1.payment_intents.create(charge(), with_key(key)).id != first.id

    def test_an_error_about_the_parameters_is_not_stored(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        key = next(_keys)
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.create(charge(amount=1), with_key(key))
        assert api.v1.payment_intents.create(charge(), with_key(key)).status == "succeeded"

    def test_an_error_about_the_state_is_stored(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        intent = api.v1.payment_intents.create(charge(payment_method=SLOW_DEBIT)).id
        key = next(_keys)
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.payment_intents.cancel(intent, {}, with_key(key))
        assert refused(error) == (400, "payment_intent_unexpected_state")
        fail_intent(fake.account, fake.get_intent(intent), {"code": "payment_method_provider_decline"})
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.cancel(intent, {}, with_key(key))
        assert api.v1.payment_intents.cancel(intent).status == "canceled"

    def test_a_decline_is_stored(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        key, before = next(_keys), len(fake.intents)
        for _attempt in range(2):
            with pytest.raises(stripe.CardError):
                api.v1.payment_intents.create(charge(payment_method=DECLINED_CARD), with_key(key))
        assert len(fake.intents) == before + 1

    def test_a_second_request_during_the_first_gets_409(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        key, fake.holding = next(_keys), threading.Event()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(build_test_client(10.0).v1.payment_intents.create, charge(), with_key(key))
            while key not in fake.api.keys.running and not first.done():
                threading.Event().wait(0.01)
            with pytest.raises(stripe.APIError) as error:
                api.v1.payment_intents.create(charge(), with_key(key))
            fake.holding.set()
            assert error.value.http_status == 409
            created = first.result()
        assert api.v1.payment_intents.create(charge(), with_key(key)).id == created.id


class TestSessions:
    """docs.stripe.com/api/checkout/sessions"""

    @pytest.mark.parametrize(("seconds", "is_taken"), [(29 * 60, False), (HOUR, True), (25 * HOUR, False)])
    def test_a_session_lives_30_minutes_to_24_hours(
        self, fake: FakeStripe, api: stripe.StripeClient, seconds: int, is_taken: bool
    ) -> None:
        params = page(fake, expires_at=fake.account.now() + seconds)
        if is_taken:
            assert api.v1.checkout.sessions.create(params).status == "open"
            return
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.checkout.sessions.create(params)
        assert error.value.param == "expires_at"

    def test_there_is_no_payment_intent_before_the_customer_pays(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        """docs.stripe.com/changelog/2022-08-01/deferred-paymentintent-checkout-session"""
        session = api.v1.checkout.sessions.create(page(fake))
        assert session.payment_intent is None
        fake.pay_session(session.id)
        assert api.v1.checkout.sessions.retrieve(session.id).payment_intent is not None

    def test_the_intent_of_an_open_session_ends_only_with_the_session(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        """docs.stripe.com/api/payment_intents/cancel"""
        session = api.v1.checkout.sessions.create(page(fake))
        fake.pay_session(session.id, DECLINED_CARD)
        intent = api.v1.checkout.sessions.retrieve(session.id).payment_intent
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.cancel(str(intent))
        assert fake.get_intent(str(intent))["status"] == "requires_payment_method"
        api.v1.checkout.sessions.expire(session.id)
        assert fake.get_intent(str(intent))["status"] == "canceled"
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.checkout.sessions.expire(session.id)

    @pytest.mark.parametrize("is_paid", [True, False])
    def test_the_intent_of_a_voucher_requires_an_action_until_it_is_paid(
        self, fake: FakeStripe, api: stripe.StripeClient, is_paid: bool
    ) -> None:
        """docs.stripe.com/payments/oxxo/accept-a-payment, docs.stripe.com/api/payment_intents/cancel"""
        price = {"currency": "mxn", "unit_amount": 10_000, "product_data": {"name": "Coffee"}}
        session = api.v1.checkout.sessions.create(
            page(fake, line_items=[{"quantity": 1, "price_data": price}])
        )
        fake.pay_session(session.id, VOUCHER)
        found = api.v1.checkout.sessions.retrieve(session.id)
        assert (found.status, found.payment_status) == ("complete", "unpaid")
        intent = str(found.payment_intent)
        assert fake.get_intent(intent)["status"] == "requires_action"
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.cancel(intent)
        fake.take_events()
        fake.decide_payment(session.id, is_paid=is_paid)
        assert fake.get_intent(intent)["status"] == ("succeeded" if is_paid else "requires_payment_method")
        assert fake.take_events()[-1]["type"] == (
            f"checkout.session.async_payment_{'succeeded' if is_paid else 'failed'}"
        )

    def test_a_session_expires_by_itself(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        session = api.v1.checkout.sessions.create(page(fake))
        fake.advance_clock(HOUR)
        assert api.v1.checkout.sessions.retrieve(session.id).status == "expired"
        (event,) = [each for each in fake.take_events() if each["data"]["object"]["id"] == session.id]
        assert event["type"] == "checkout.session.expired"


class TestIntents:
    @pytest.mark.parametrize("stays", [{}, {"automatic_payment_methods": {"enabled": True}}])
    def test_confirming_requires_a_return_url(
        self, fake: FakeStripe, api: stripe.StripeClient, stays: JsonObject
    ) -> None:
        """docs.stripe.com/changelog: 2023-08-16, automatic payment methods"""
        params = charge(**stays)
        del params["return_url"]
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.payment_intents.create(params)
        assert error.value.param == "return_url"
        params["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
        assert api.v1.payment_intents.create(params).status == "succeeded"

    @pytest.mark.parametrize(
        ("currency", "amount", "code"),
        [
            ("usd", 49, "amount_too_small"),
            ("jpy", 49, "amount_too_small"),
            ("usd", 100_000_000, "amount_too_large"),
            ("kwd", 9_995, "parameter_invalid_integer"),
        ],
    )
    def test_amounts_that_stripe_refuses(
        self, fake: FakeStripe, api: stripe.StripeClient, currency: str, amount: int, code: str
    ) -> None:
        """docs.stripe.com/currencies"""
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.payment_intents.create(charge(currency=currency, amount=amount))
        assert refused(error) == (400, code)

    @pytest.mark.parametrize(
        "metadata",
        [{"a[b]": "x"}, {"n" * 41: "x"}, {"name": "x" * 501}, {f"n{number}": "x" for number in range(51)}],
    )
    def test_metadata_that_stripe_refuses(
        self, fake: FakeStripe, api: stripe.StripeClient, metadata: dict[str, str]
    ) -> None:
        """docs.stripe.com/api/metadata"""
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.create(charge(metadata=metadata))

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"surprise": 1}, "parameter_unknown"),
            ({"automatic_payment_methods": {"enabled": True, "surprise": 1}}, "parameter_unknown"),
            ({"amount": "ten"}, "parameter_invalid_integer"),
            ({"capture_method": "later"}, None),
            ({"currency": ""}, "parameter_invalid_empty"),
        ],
    )
    def test_a_parameter_that_is_not_published_is_refused(
        self, fake: FakeStripe, api: stripe.StripeClient, change: JsonObject, code: str | None
    ) -> None:
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.payment_intents.create(charge(**change))
        assert refused(error) == (400, code)


class TestSearch:
    """docs.stripe.com/search"""

    def test_the_search_lags(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        made = api.v1.payment_intents.create(charge(metadata={PAYMENT_NO: "PAY-SEARCHED"}))
        query: Any = {"query": f"metadata['{PAYMENT_NO}']:'PAY-SEARCHED'"}
        assert api.v1.payment_intents.search(query).data == []
        fake.advance_clock(120)
        assert [found.id for found in api.v1.payment_intents.search(query).data] == [made.id]

    def test_the_search_is_not_offered_everywhere(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        fake.account.has_search = False
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.search({"query": f"metadata['{PAYMENT_NO}']:'PAY-1'"})


class TestRefundRules:
    """docs.stripe.com/refunds"""

    def test_no_more_is_refunded_than_was_captured(self, fake: FakeStripe, api: stripe.StripeClient) -> None:
        intent = api.v1.payment_intents.create(charge()).id
        api.v1.refunds.create({"payment_intent": intent, "amount": 6_000})
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.refunds.create({"payment_intent": intent, "amount": 4_001})
        assert error.value.param == "amount"
        api.v1.refunds.create({"payment_intent": intent})
        with pytest.raises(stripe.InvalidRequestError) as error:
            api.v1.refunds.create({"payment_intent": intent})
        assert refused(error) == (400, "charge_already_refunded")

    def test_a_failed_refund_frees_its_amount_and_sends_events(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        intent = api.v1.payment_intents.create(charge()).id
        refund = api.v1.refunds.create({"payment_intent": intent})
        fake.take_events()
        fake.settle_refund(refund.id, "failed", failure_reason="expired_or_canceled_card")
        event_types = [each["type"] for each in fake.take_events()]
        assert event_types == ["refund.updated", "charge.refund.updated", "refund.failed"]
        assert api.v1.refunds.create({"payment_intent": intent}).status == "succeeded"

    def test_a_refund_in_the_dashboard_has_none_of_our_metadata(
        self, fake: FakeStripe, api: stripe.StripeClient
    ) -> None:
        intent = api.v1.payment_intents.create(charge(metadata={PAYMENT_NO: "PAY-1"})).id
        fake.take_events()
        assert fake.refund_in_dashboard(intent, 1_000)["metadata"] == {}
        created, refunded = fake.take_events()
        assert (created["type"], refunded["type"]) == ("refund.created", "charge.refunded")
        assert refunded["data"]["object"]["amount_refunded"] == 1_000


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_1_to_100_entries(fake: FakeStripe, api: stripe.StripeClient, limit: int) -> None:
    """docs.stripe.com/api/pagination"""
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.payment_intents.list({"limit": limit})


def test_every_event_and_its_object_are_as_published(fake: FakeStripe, api: stripe.StripeClient) -> None:
    for card in (VISA, DECLINED_CARD, SLOW_DEBIT):
        session = api.v1.checkout.sessions.create(page(fake))
        fake.pay_session(session.id, card)
        if card == SLOW_DEBIT:
            fake.decide_payment(session.id, is_paid=True)
        elif card == VISA:
            intent = fake.sessions[session.id]["payment_intent"]
            fake.refund_in_dashboard(intent, 100)
            fake.open_dispute(intent)
    fake.advance_clock(HOUR)
    events = fake.take_events()
    assert len({each["type"] for each in events}) > 8
    for each in events:
        require_valid_object(each)


@pytest.mark.parametrize(
    "change", [{"livemode": False}, {"amount": "10"}, {"status": None, "currency": None}]
)
def test_an_object_that_differs_from_the_specification_is_refused(
    fake: FakeStripe, change: JsonObject
) -> None:
    fake_refund = fake.refund_in_dashboard(_paid(fake), 100)
    require_valid_object(fake_refund)
    with pytest.raises(NotPublished):
        require_valid_object({**fake_refund, **change})
    with pytest.raises(NotPublished):
        require_valid_object({name: value for name, value in fake_refund.items() if name != "currency"})


def _paid(fake: FakeStripe) -> str:
    return build_test_client(10.0).v1.payment_intents.create(charge()).id


class TestConnectedAccounts:
    def test_each_has_objects_and_keys_of_its_own(self, fake: FakeStripe) -> None:
        """docs.stripe.com/connect/authentication, docs.stripe.com/api/idempotent_requests"""
        fake.connect_account("acct_1A")
        api = build_test_client(10.0)
        named: Any = {"stripe_account": "acct_1A", "idempotency_key": "same"}
        key: Any = {"idempotency_key": "same"}
        own = api.v1.checkout.sessions.create(page(fake), key)
        theirs = api.v1.checkout.sessions.create(page(fake), named)
        assert own.id != theirs.id
        assert api.v1.checkout.sessions.create(page(fake), named).id == theirs.id
        with pytest.raises(stripe.InvalidRequestError) as missing:
            api.v1.checkout.sessions.retrieve(theirs.id)
        assert missing.value.http_status == 404

    def test_no_access_is_403(self, fake: FakeStripe) -> None:
        """docs.stripe.com/error-codes#account-invalid, docs.stripe.com/api/errors"""
        for number in ("acct_1Stranger", "acct_1Gone"):
            if number == "acct_1Gone":
                fake.connect_account(number)
                fake.disconnect_account(number)
            with pytest.raises(stripe.PermissionError) as refused:
                build_test_client(10.0).v1.balance.retrieve(None, {"stripe_account": number})
            assert refused.value.error is not None
            assert refused.value.error.code == "account_invalid"

    @pytest.mark.parametrize(("number", "fee"), [("", 10), ("acct_1A", 10_000), ("acct_1A", 0)])
    def test_a_fee_that_stripe_does_not_take(self, fake: FakeStripe, number: str, fee: int) -> None:
        """docs.stripe.com/connect/direct-charges#collect-fees"""
        fake.connect_account("acct_1A")
        params: Any = {**page(fake), "payment_intent_data": {"application_fee_amount": fee}}
        options: Any = {"stripe_account": number} if number else {}
        with pytest.raises(stripe.InvalidRequestError) as refused:
            build_test_client(10.0).v1.checkout.sessions.create(params, options)
        assert refused.value.param == "application_fee_amount"

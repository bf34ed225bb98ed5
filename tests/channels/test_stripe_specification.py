"""Two sources describe Stripe's API: its OpenAPI specification, against which these tests check every call, and the
SDK of the API version that we request."""

import datetime as dt
import sys
import typing
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import stripe
import typing_extensions
from django.conf import settings
from stripe import params as sdk

from channels.base import (
    CancelPayment,
    CapturePayment,
    IncrementAuthorization,
    ListingWindow,
    RefundRef,
    Reported,
)
from channels.stripe import config, payment_objects, setup
from tests.channels.harness import (
    StripeHarness,
    build_creation,
    build_ref,
    build_refund,
    create_open,
    create_paid,
)
from tests.support.stripe import checked_reads, specification
from tests.support.stripe.checked_reads import CheckedObject
from tests.support.stripe.fake import CHALLENGED_CARD, DECLINED_CARD, INCREMENTAL_CARD, FakeStripe
from tests.support.stripe.specification import JsonObject, NotPublished

PARAMETERS: dict[str, type] = {
    "POST /v1/checkout/sessions": sdk.checkout.SessionCreateParams,
    "GET /v1/checkout/sessions": sdk.checkout.SessionListParams,
    "GET /v1/checkout/sessions/{session}": sdk.checkout.SessionRetrieveParams,
    "POST /v1/checkout/sessions/{session}/expire": sdk.checkout.SessionExpireParams,
    "POST /v1/payment_intents": sdk.PaymentIntentCreateParams,
    "GET /v1/payment_intents": sdk.PaymentIntentListParams,
    "GET /v1/payment_intents/search": sdk.PaymentIntentSearchParams,
    "GET /v1/payment_intents/{intent}": sdk.PaymentIntentRetrieveParams,
    "POST /v1/payment_intents/{intent}/capture": sdk.PaymentIntentCaptureParams,
    "POST /v1/payment_intents/{intent}/increment_authorization": sdk.PaymentIntentIncrementAuthorizationParams,
    "POST /v1/payment_intents/{intent}/cancel": sdk.PaymentIntentCancelParams,
    "POST /v1/refunds": sdk.RefundCreateParams,
    "GET /v1/refunds": sdk.RefundListParams,
    "GET /v1/refunds/{refund}": sdk.RefundRetrieveParams,
    "GET /v1/balance": sdk.BalanceRetrieveParams,
    "GET /v1/webhook_endpoints": sdk.WebhookEndpointListParams,
}


def hold_and_capture_in_parts(harness: StripeHarness) -> None:
    request = harness.build_creation(
        manual_capture=True, payment_method_options=harness.repeated_capture_options
    )
    ref = build_ref(request, create_paid(harness, request).channel_trade_no)
    captured = harness.channel.capture_payment(
        CapturePayment(f"part-{request.reference}", ref, 5_000, is_final=False)
    )
    assert isinstance(captured, Reported), captured
    harness.channel.cancel_payment(CancelPayment("release", ref))


def hold_and_increment(harness: StripeHarness) -> None:
    request = build_creation(
        account=harness.account,
        manual_capture=True,
        metadata={"stripe_payment_method": INCREMENTAL_CARD},
        payment_method_options={"request_incremental_authorization": "if_available"},
    )
    ref = build_ref(request, create_paid(harness, request).channel_trade_no)
    incremented = harness.channel.increment_authorization(
        IncrementAuthorization(f"more-{request.reference}", ref, 12_000)
    )
    assert isinstance(incremented, Reported), incremented


def everything_that_the_channel_can_do(fake: FakeStripe) -> None:
    page, card = StripeHarness(fake, saved_card=False), StripeHarness(fake, saved_card=True)
    for harness in (page, card):
        request = harness.build_creation(manual_capture=True, description="Two cups")
        held = create_paid(harness, request)
        ref = build_ref(request, held.channel_trade_no)
        harness.channel.capture_payment(CapturePayment("capture", ref, 5_000))
        refund = build_refund(request, held, 2_000)
        harness.channel.refund_payment(refund)
        harness.channel.find_refund(RefundRef(refund.reference, refund.payment))
        harness.channel.find_refund(RefundRef(refund.reference, refund.payment, next(reversed(fake.refunds))))
        harness.channel.find_payment(build_ref(request))
        left = harness.build_creation(manual_capture=True)
        payment = create_open(harness, left)
        harness.channel.cancel_payment(CancelPayment("cancel", build_ref(left, payment.channel_trade_no)))
    hold_and_capture_in_parts(page)
    hold_and_increment(card)
    own = replace(card.account, id=uuid.uuid4())
    for metadata in ({"stripe_customer": "cus_fake", "stripe_payment_method": CHALLENGED_CARD},
                     {"stripe_payment_method": DECLINED_CARD}):  # fmt: skip
        card.channel.create_payment(build_creation(account=own, metadata=metadata))
    page.channel.find_payment(build_ref(build_creation(account=page.account)))
    page.channel.find_refunds(build_ref(request, held.channel_trade_no))
    for path in (setup.WEBHOOK_PATH, setup.CONNECT_WEBHOOK_PATH):
        fake.add_webhook_endpoint(f"{settings.PUBLIC_BASE_URL}{path}", ["*"], version=config.API_VERSION)
    assert not [finding for finding in setup.check_setup("test") if finding.is_problem]
    now, minute = dt.datetime.now(dt.UTC), dt.timedelta(minutes=1)
    around = ListingWindow(page.account, now - minute, now + minute, 10.0)
    assert list(page.channel.list_payments(around))
    assert list(page.channel.list_refunds(around))


def test_the_sdk_knows_every_parameter_that_we_send(fake: FakeStripe) -> None:
    everything_that_the_channel_can_do(fake)
    used = {str(operation): params for operation, params in fake.api.used}
    assert set(used) == set(PARAMETERS)
    for operation, params in fake.api.used:
        for path in names_in(params):
            assert is_known(PARAMETERS[str(operation)], path), f"{operation}: {path}"


def test_every_field_that_we_read_is_in_both_sources(fake: FakeStripe) -> None:
    """Each read is checked when it happens (see conftest); this test lists the fields."""
    checked_reads.FIELDS_READ.clear()
    everything_that_the_channel_can_do(fake)
    assert {
        ("checkout.session", "status"),
        ("checkout.session", "amount_total"),
        ("payment_intent", "amount_received"),
        ("payment_intent.next_action", "redirect_to_url"),
        ("payment_intent.next_action.redirect_to_url", "url"),
        ("refund", "status"),
        ("api_errors", "decline_code"),
    } <= checked_reads.FIELDS_READ
    assert ("refund", "livemode") not in checked_reads.FIELDS_READ


def test_a_field_that_stripe_does_not_publish_cannot_be_read() -> None:
    refund = checked_reads.check_reads({"object": "refund", "id": "re_1", "livemode": False}, stripe.Refund)
    assert isinstance(refund, CheckedObject)
    assert refund["id"] == "re_1"
    for read in (lambda: refund["livemode"], lambda: refund.get("livemode")):
        with pytest.raises(NotPublished):
            read()


def test_the_pages_of_next_actions_are_published() -> None:
    actions = specification.get_schema("payment_intent_next_action")["properties"]
    for kind, field in payment_objects.ACTION_PAGES.items():
        assert field in specification.resolve_reference(actions[kind])["properties"]
        assert field in stripe.PaymentIntent.NextAction._inner_class_types[kind].__annotations__


def test_we_request_the_api_version_of_the_sdk(fake: FakeStripe) -> None:
    """The specification may be older: the tests above prove that what we use exists in both."""
    everything_that_the_channel_can_do(fake)
    assert fake.api.versions == {config.API_VERSION}
    assert stripe.api_version == config.API_VERSION
    assert specification.specification()["info"]["version"] <= config.API_VERSION


def names_in(params: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(params, list):
        return {name for each in params for name in names_in(each, path)}
    if not isinstance(params, dict):
        return {path}
    return {name for field, value in params.items() for name in names_in(value, (*path, field))}


def is_known(kind: Any, path: tuple[str, ...]) -> bool:
    """Returns whether the SDK's types have a parameter of this name. The names in a map are free."""
    if not path:
        return True
    if typing_extensions.is_typeddict(kind):
        # Names that the SDK's modules import for type checkers alone.
        scope: JsonObject = {
            **vars(sys.modules[kind.__module__]),
            "StripeContext": object,
            "Mapping": Mapping,
        }
        hints = typing_extensions.get_type_hints(kind, localns=scope)
        return path[0] in hints and is_known(hints[path[0]], path[1:])
    if typing.get_origin(kind) is dict:
        return True
    return any(is_known(each, path) for each in typing.get_args(kind))

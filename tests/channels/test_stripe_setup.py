"""`manage.py stripe_check`, the warnings at start, and the list of events to subscribe to."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.core.management import CommandError, call_command

from channels import registry
from channels.base import WebhookRequest
from channels.stripe import config, metadata, setup, webhooks
from tests.support.stripe.account import build_event
from tests.support.stripe.client import build_test_client
from tests.support.stripe.events import sign
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.stripe.specification import JsonObject, PublishedOperation

URL = "https://pay.example/api/v1/webhooks/stripe"
CONNECT_URL = "https://pay.example/api/v1/webhooks/stripe/connect"
CHANNELS = Path(__file__).parents[2] / "docs" / "CHANNELS.md"


@pytest.fixture(autouse=True)
def _public(fake: FakeStripe, settings: Any) -> None:
    """An installation without connected accounts."""
    settings.PUBLIC_BASE_URL = "https://pay.example"
    settings.STRIPE_CONNECT_WEBHOOK_SECRETS = {"test": [], "live": []}


def problems() -> list[str]:
    return [finding.text for finding in setup.check_setup("test") if finding.is_problem]


def test_a_correct_setup_has_no_problem(fake: FakeStripe) -> None:
    fake.add_webhook_endpoint("https://other.example/", ["charge.succeeded"], version=None)
    fake.add_webhook_endpoint(URL, list(webhooks.EVENTS), version=config.API_VERSION)
    written = io.StringIO()
    call_command("stripe_check", stdout=written)
    assert written.getvalue().count("ok  test: ") == 2
    assert "ok  live: not connected" in written.getvalue()
    assert {request.split()[0] for request in fake.requests_seen} == {"GET"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "https://old.example/api/v1/webhooks/stripe"}, "does not exist"),
        ({"status": "disabled"}, "is disabled"),
        (
            {"events": [each for each in webhooks.EVENTS if each != "refund.failed"]},
            "does not send refund.failed",
        ),
        ({"version": "2022-11-15"}, "sends version 2022-11-15"),
        ({"version": None}, "sends the account's default version"),
    ],
)
def test_a_wrong_endpoint_is_a_problem(fake: FakeStripe, changes: JsonObject, says: str) -> None:
    fits: JsonObject = {"url": URL, "events": list(webhooks.EVENTS), "version": config.API_VERSION}
    fake.add_webhook_endpoint(**{**fits, **changes})
    (problem,) = problems()
    assert says in problem
    with pytest.raises(CommandError):
        call_command("stripe_check", environment="test", stdout=io.StringIO())


def test_two_endpoints_with_our_address_are_a_problem(fake: FakeStripe) -> None:
    for _each in range(2):
        fake.add_webhook_endpoint(URL, ["*"], version=config.API_VERSION)
    assert ["2 webhook endpoints" in problem for problem in problems()] == [True]


def test_an_api_key_that_stripe_refuses_is_a_problem(fake: FakeStripe, settings: Any) -> None:
    settings.STRIPE_SECRET_KEYS = {"test": "rk_live_of_the_other_mode", "live": ""}
    assert ["does not accept the secret key" in problem for problem in problems()] == [True]


def test_an_outage_of_stripe_is_logged_and_raises_nothing(fake: FakeStripe) -> None:
    fake.plan_fault(Fault.LOSE_REQUEST, "GET /v1/balance")
    with structlog.testing.capture_logs() as logs:
        setup.log_setup_problems()
    (line,) = [each for each in logs if each["event"] == "stripe.setup_problem"]
    assert "check again later" in line["problem"]


def test_a_missing_webhook_secret_is_a_problem(fake: FakeStripe, settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = {"test": [], "live": []}
    fake.add_webhook_endpoint(URL, ["*"], version=config.API_VERSION)
    assert ["STRIPE_TEST_WEBHOOK_SECRETS" in problem for problem in problems()] == [True]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (None, f"{CONNECT_URL} does not exist"),
        (webhooks.EVENTS, "does not send account.application.deauthorized"),
        (webhooks.CONNECT_EVENTS, ""),
    ],
)
def test_the_connect_endpoint_is_checked_where_its_secret_is_set(
    fake: FakeStripe, settings: Any, events: tuple[str, ...] | None, says: str
) -> None:
    settings.STRIPE_CONNECT_WEBHOOK_SECRETS = {"test": ["whsec_connect"], "live": []}
    fake.add_webhook_endpoint(URL, ["*"], version=config.API_VERSION)
    if events:
        fake.add_webhook_endpoint(CONNECT_URL, list(events), version=config.API_VERSION)
    found = problems()
    assert len(found) == bool(says)
    assert says in "".join(found)


def test_the_document_lists_the_events_that_are_checked() -> None:
    listed = re.search(r"<!-- events -->\n(.*?)<!-- /events -->", CHANNELS.read_text(), re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"`([a-z_.]+)`", listed[1])) == webhooks.EVENTS
    assert config.API_VERSION in CHANNELS.read_text()


def test_the_subscribed_events_are_those_with_an_effect(fake: FakeStripe) -> None:
    """The test checks every event type that Stripe publishes."""
    body = PublishedOperation("POST", "/v1/webhook_endpoints").parameters()
    published = [each for each in body["properties"]["enabled_events"]["items"]["enum"] if each != "*"]
    subjects = subjects_of_ours(fake)
    with_effect = {kind for kind in published for subject in subjects if has_effect(kind, subject)}
    assert with_effect == set(webhooks.EVENTS)


def subjects_of_ours(fake: FakeStripe) -> list[JsonObject]:
    labels = metadata.build_metadata({}, {metadata.PAYMENT_NO: "PAY-1", metadata.REFUND_NO: "REF-1"}, "test")
    price = {"currency": "usd", "unit_amount": "100", "product_data": {"name": "Coffee"}}
    api = build_test_client(10.0)
    session = api.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": price}],  # type: ignore[list-item, typeddict-item]
            "success_url": "https://shop.example/",
            "metadata": labels,
            "payment_intent_data": {"metadata": labels},
        }
    )
    fake.pay_session(session.id)
    intent = fake.get_intent(fake.sessions[session.id]["payment_intent"])
    refund = fake.refund_in_dashboard(intent["id"], 10)
    refund["metadata"] = labels
    charge = fake.account.charges[intent["latest_charge"]]
    return [fake.sessions[session.id], intent, refund, charge, fake.open_dispute(intent["id"])]


def has_effect(kind: str, subject: JsonObject) -> bool:
    """Returns the object of an event of this type: the type begins with the object's name."""
    owner = {"checkout.session": "checkout.session", "payment_intent": "payment_intent", "refund": "refund",
             "charge.refund": "refund", "charge.dispute": "dispute", "charge": "charge"}  # fmt: skip
    prefix = next((each for each in sorted(owner, key=len, reverse=True) if kind.startswith(f"{each}.")), "")
    if owner.get(prefix) != subject["object"]:
        return False
    body = json.dumps(build_event(kind, subject)).encode()
    request = WebhookRequest(body, {"Stripe-Signature": sign(body)})
    return bool(webhooks.parse_webhook(registry.get_platform_account("stripe", "test"), request).updates)

"""Every event type has a schema, and every event that is sent matches it."""

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.db.models import F
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from channels.base import ChannelDispute, ChannelDisputeReason, DisputeState
from common.api.renderers import to_json
from events import catalogue, cloudevents
from events.models import OutboxEvent
from gateway import state_machine
from gateway.models import Payment, PaymentAttempt, PaymentStatus, Refund, RefundStatus
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.update_source import UpdateSource
from payouts.models import Payout
from payouts.services import runs
from payouts.services.outcomes import BankOutcome, record_outcome
from tests.payouts.conftest import age_ledger, approve, create_run, give_bank_account, give_plan, no_conflict
from tests.support import background
from tests.support.fixtures import _in_a_hurry, acme, client  # noqa: F401
from tests.support.polling import expire_due
from tests.support.receiver import Receiver, WebhookResponse
from tests.support.shop import authorized, cancel, capture, create, data, increment, opened, paid, refund
from tests.support.signing import SignedClient
from tests.support.webhooks import ENDPOINTS, deliver_due, registered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FOLDER = Path(settings.BASE_DIR, "docs", "events")


def schema(event_type: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{event_type}.schema.json").read_text())
    return found


def closed(found: Any) -> Any:
    """Returns the schema with further properties forbidden, so that a field without documentation fails."""
    if isinstance(found, list):
        return [closed(inner) for inner in found]
    if not isinstance(found, dict):
        return found
    inner = {name: closed(value) for name, value in found.items()}
    return {"additionalProperties": False, **inner} if isinstance(found.get("properties"), dict) else inner


def check(event: dict[str, Any]) -> None:
    Draft202012Validator(closed(schema(event["type"])), format_checker=FormatChecker()).validate(event)


def sent() -> list[dict[str, Any]]:
    return [
        json.loads(to_json(cloudevents.to_structured_mode(row))) for row in OutboxEvent.objects.order_by("id")
    ]


def test_each_type_has_a_schema_and_a_line() -> None:
    files = {path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json")}
    assert files == set(catalogue.ALL_TYPES)
    text = Path(settings.BASE_DIR, "docs", "EVENTS.md").read_text()
    for event_type in catalogue.ALL_TYPES:
        Draft202012Validator.check_schema(schema(event_type))
        assert f"[`{event_type}`](events/{event_type}.schema.json)" in text


def _disputed(payment: Payment) -> None:
    for state in DisputeState:
        update = ChannelDispute(
            environment="test",
            channel_dispute_no="dp_1",
            channel_trade_no="pi_1",
            amount_minor=100,
            currency=payment.currency,
            reason=ChannelDisputeReason.FRAUDULENT,
            channel_reason="fraudulent",
            state=state,
            evidence_due_by=dt.datetime(2026, 12, 24, tzinfo=dt.UTC),
        )
        apply_dispute_update(
            update=update, payment_reference=payment.payment_no, source=UpdateSource("simulator")
        )


def _paid_out(merchant_id: uuid.UUID) -> None:
    """Makes payouts that are paid and returned, that fail, and that are canceled."""
    give_plan(merchant_id)
    give_bank_account(merchant_id)
    age_ledger()
    for outcomes in (("paid", "returned"), ("failed",)):
        run_id = create_run()
        approve(run_id)
        payout_no = Payout.objects.get(run_id=run_id).payout_no
        for status in outcomes:
            outcome = BankOutcome(payout_no, status, code="" if status == "paid" else "AC04")
            for actor in ("ann", "bob") if status != "paid" else ("ann",):
                record_outcome(outcome=outcome, actor=actor, reason="report", find_conflict=no_conflict)
    runs.reject_run(run_id=create_run(), actor="bob", reason="no")


def test_every_event_matches_its_schema(client: SignedClient) -> None:  # noqa: F811
    with Receiver() as receiver:
        receiver.respond = lambda webhook: WebhookResponse(410 if webhook.path == "/gone" else 200)
        endpoint = registered(client, receiver.url("/well"))
        registered(client, receiver.url("/gone"))
        payment = paid(client, customer={"name": "Li"}, callback_url=receiver.url("/c"))
        data(refund(client, payment, 100))
        refund(client, paid(client, "refund_declined"), 100)
        create(client, "decline", order_no="tried-again")
        create(client, order_no="tried-again")
        held = authorized(client)
        data(increment(client, held, 11_000))
        data(capture(client, held, amount=1_000, final_capture=False))
        waiting = opened(client)
        data(cancel(client, waiting))
        closed = Payment.objects.get(payment_no=waiting["payment_no"])
        with transaction.atomic():
            state_machine.record_late_payment(payment=closed, captured_minor=closed.amount_minor)
            for given in Refund.objects.select_related("payment"):
                if given.status == RefundStatus.FAILED:
                    Payment.objects.filter(id=given.payment_id).update(refunded_minor=F("captured_minor"))
                    given.payment.refresh_from_db()
                    state_machine.change_refund_to_succeeded(refund=given, channel_refund_no="re_1")
            _disputed(closed)
            given_up = PaymentAttempt.objects.create(
                payment=closed, number=2, reference=f"{closed.payment_no}-2", channel="simulator"
            )
            state_machine.record_duplicate_payment(
                payment=closed, attempt=given_up, captured_minor=100, channel_trade_no="x"
            )
        _paid_out(closed.merchant_id)
        background.expire_payment(opened(client)["payment_no"])
        expire_due()
        background.finish()
        data(client.post(f"{ENDPOINTS}/{endpoint['id']}/test", {}))
        deliver_due()
        deliver_due()
        events = sent()
        for event in [*events, *(json.loads(delivery.body) for delivery in receiver.received)]:
            check(event)
    assert {event["type"] for event in events} == set(catalogue.ALL_TYPES)
    assert Payment.objects.filter(status=PaymentStatus.EXPIRED).exists()


def test_a_published_schema_allows_new_fields(client: SignedClient) -> None:  # noqa: F811
    """docs/EVENTS.md promises that fields are only added: a consumer that validates must accept new ones."""
    opened(client)
    (event,) = sent()
    grown = {**event, "traceid": "x", "data": {**event["data"], "more": 1}}
    Draft202012Validator(schema(event["type"]), format_checker=FormatChecker()).validate(grown)
    for event_type in catalogue.ALL_TYPES:
        assert '"additionalProperties": false' not in (FOLDER / f"{event_type}.schema.json").read_text()


def test_an_invalid_event_does_not_match_its_schema(client: SignedClient) -> None:  # noqa: F811
    opened(client)
    (event,) = sent()
    for spoilt in (
        {**event, "id": str(uuid.uuid4())[:-1]},
        {**event, "data": {**event["data"], "amount": "100"}},
        {**event, "data": {**event["data"], "more": 1}},
        {name: value for name, value in event.items() if name != "time"},
    ):
        with pytest.raises(ValidationError):
            check(spoilt)

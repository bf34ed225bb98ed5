"""Lost answers: a query that is answered resolves the doubt, and a query that is refused decides nothing."""

import pytest
from django.db.models.functions import Now

from channels.base import Declined, InvalidRequest, UnknownOutcome
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import SimulatedPayment
from sagas import operations
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import intercept_simulator
from tests.support.shop import (
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    paid,
    refund,
    sync,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FAULTS = ["timeout_after", "timeout_before", "error_5xx", "reset_after", "error_5xx_kept"]


def bank_decides(payment: dict) -> None:
    SimulatedPayment.objects.filter(reference=payment["payment_no"]).update(settles_at=Now())
    bank.settle_due_payments()
    bank.deliver_webhooks(payment["payment_no"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_cancel_while_the_bank_processes_the_payment(client: SignedClient, fault: str) -> None:
    """The cancel fails, and the payment continues without review or delay."""
    payment = opened(client, f"processing:600,cancel:{fault}", capture_method="manual")
    bank.pay(payment)
    key = new_no("key")
    data(cancel(client, payment, key=key), 202)
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    assert (saga.status, saga.needs_attention) == ("compensated", False)
    error(cancel(client, payment, key=key), 409, "payment_not_cancellable")
    bank_decides(payment)
    assert get_payment(client, payment)["status"] == "authorized"
    assert data(capture(client, payment))["status"] == "succeeded"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_capture_is_made_once(client: SignedClient, fault: str) -> None:
    payment = authorized(client, f"no_webhook,capture:{fault}")
    data(capture(client, payment, amount=4_000), 202)
    background.finish()
    assert get_payment(client, payment)["captured_amount"] == 4_000
    assert bank.read_ledger(payment["payment_no"]) == [
        ("authorize", 10_000),
        ("capture", 4_000),
        ("void", 6_000),
    ]


REFUSED = [
    InvalidRequest("parameter_unknown", "Received unknown parameter: x", "x", is_query=True),
    InvalidRequest("parameter_unknown", "Received unknown parameter: x", "x"),
    Declined("card_declined", "no"),
    UnknownOutcome("no answer", is_channel_fault=False),
]


def answer_once(monkeypatch: pytest.MonkeyPatch, call: str, answer: InvalidRequest) -> None:
    """Gives the next call of this operation an answer without sending it to the bank."""
    answers, reaches = [answer], getattr(SimulatorChannel, call)
    monkeypatch.setattr(
        SimulatorChannel,
        call,
        lambda channel, request: answers.pop() if answers else reaches(channel, request),
    )


@pytest.mark.parametrize("answer", REFUSED, ids=["query", "request", "declined", "unknown"])
def test_a_refused_query_decides_nothing(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch, answer: InvalidRequest | Declined | UnknownOutcome
) -> None:
    """The refund was made and the answer was lost: it stays open until a query is answered, and is made once."""
    line = intercept_simulator(monkeypatch)
    payment = paid(client, "refund:timeout_after")
    line.after = lambda operation, reply: answer if operation.startswith("find_") else reply
    accepted = data(refund(client, payment, 4_000), 202)
    background.finish()
    assert get_refund(client, accepted)["status"] == "pending"
    saga = background.saga_of(accepted["refund_no"], "refund.create")
    assert saga.needs_attention
    error(sync(client, payment), 503, "service_unavailable")
    line.mend()
    operations.retry_step(saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="it is back")
    background.finish()
    assert get_refund(client, accepted)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 4_000)]


@pytest.mark.parametrize("call", ["create_payment", "refund_payment", "capture_payment", "cancel_payment"])
def test_a_refused_query_within_a_call_decides_nothing(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The query that the channel's module makes before the call was refused: the call is repeated."""
    answer_once(monkeypatch, call, REFUSED[0])
    if call == "create_payment":
        accepted = data(create(client), 202)
        background.finish()
        assert get_payment(client, accepted)["status"] == "pending"
        assert get_payment(client, accepted)["payment_url"]
    elif call == "refund_payment":
        accepted = data(refund(client, paid(client), 4_000), 202)
        background.finish()
        assert get_refund(client, accepted)["status"] == "succeeded"
    else:
        payment = authorized(client, "no_webhook")
        data((capture if call == "capture_payment" else cancel)(client, payment), 202)
        background.finish()
        ends = {"capture_payment": "succeeded", "cancel_payment": "cancelled"}
        assert get_payment(client, payment)["status"] == ends[call]


@pytest.mark.parametrize("call", ["create_payment", "refund_payment", "capture_payment"])
def test_an_invalid_request_is_not_a_decline(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    payment = authorized(client) if call == "capture_payment" else paid(client)
    answer_once(monkeypatch, call, REFUSED[1])
    key = new_no("key")
    match call:
        case "create_payment":
            details = error(create(client), 502, "channel_request_invalid")
            assert get_payment(client, details)["failure_code"] == "channel_request_invalid"
            synced = data(sync(client, details))
            assert synced["status"] == "failed", "the channel has answered: it does not know the payment"
        case "refund_payment":
            details = error(refund(client, payment, 4_000, key=key), 502, "channel_request_invalid")
            assert get_refund(client, details)["status"] == "failed"
            data(refund(client, payment, 10_000))
        case _:
            details = error(capture(client, payment, key=key), 502, "channel_request_invalid")
            assert data(capture(client, payment))["status"] == "succeeded"
    assert details["failure_code"] == "channel_request_invalid"
    assert details["failure_message"] == "x: Received unknown parameter: x"


def test_a_submitted_payment_continues_despite_its_compensation(client: SignedClient) -> None:
    """The outcome of the creation is unknown, and the merchant cancels. The bank is processing the customer's payment,
    so the cancel fails and the payment continues."""
    lost = "auto_pay,processing:600,timeout_after*always,query:timeout_before*always"
    payment = data(create(client, lost, capture_method="manual"), 202)
    key = new_no("key")
    data(cancel(client, payment, key=key), 202)
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.create")
    assert (saga.status, saga.needs_attention) == ("completed", False)
    error(cancel(client, payment, key=key), 409, "payment_not_cancellable")
    assert get_payment(client, payment)["status"] == "processing"
    bank_decides(payment)
    assert get_payment(client, payment)["status"] == "authorized"
    assert data(capture(client, payment))["status"] == "succeeded"

"""Well-known failures between a platform and a bank, each under its name. All integrity checks run after each test."""

from dataclasses import replace
from typing import Any

import pytest

from channels.base import CreatePayment, Declined, NotFoundAtChannel
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import SimulatedPayment
from gateway.models import Payment
from sagas import operations
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import poll_due
from tests.support.shop import (
    authorized,
    cancel,
    capture,
    create,
    data,
    get_order,
    get_payment,
    opened,
    paid,
    refund,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

# Neither the creation nor any query about it is ever answered.
SILENT = "no_webhook,timeout_after*always,query:timeout_before*always"
NEVER_ARRIVED = "no_webhook,timeout_before*always"


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def _page(payment_no: str) -> dict[str, Any]:
    """The address of the bank's payment page, which the platform never received."""
    token = SimulatedPayment.objects.get(reference=payment_no).token
    return {"payment_no": payment_no, "payment_url": f"/checkout/{token}"}


def _compensated(client: SignedClient, simulate: str) -> dict[str, Any]:
    """A payment that was compensated because its creation could not be confirmed."""
    payment: dict[str, Any] = data(create(client, simulate), 202)
    background.finish()
    assert background.saga_of(payment["payment_no"], "payment.create").status == "compensated"
    return payment


def test_null_compensation(client: SignedClient) -> None:
    """The bank gets a cancel for a payment that it does not know."""
    payment = _compensated(client, NEVER_ARRIVED)
    assert get_payment(client, payment)["status"] == "failed"
    assert get_order(client, payment["order_no"])["status"] == "cancelled"
    assert bank.read_ledger(payment["payment_no"]) == []


def test_null_compensation_when_the_bank_does_not_know_the_payment(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """Some channels answer a cancel of an unknown payment with `NotFoundAtChannel`: that ends the compensation too."""
    line.after = lambda operation, answer: NotFoundAtChannel() if operation == "cancel_payment" else answer
    payment = _compensated(client, NEVER_ARRIVED)
    assert get_payment(client, payment)["status"] == "failed"
    assert get_order(client, payment["order_no"])["status"] == "cancelled"


def test_a_creation_that_arrives_after_its_compensation_is_refused(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The creation arrives at the bank after the cancel. The bank has recorded the cancel and declines the creation."""
    sent: list[CreatePayment] = []

    def remember(operation: str, request: Any) -> None:
        if operation == "create_payment":
            sent.append(request)

    line.before = remember
    payment = _compensated(client, NEVER_ARRIVED)
    for request in sent:
        answer = SimulatorChannel().create_payment(replace(request, metadata={"simulate": "auto_pay"}))
        assert isinstance(answer, Declined), answer
        assert answer.code == "payment_cancelled"
    assert bank.read_ledger(payment["payment_no"]) == []


def test_late_channel_success_after_compensation(client: SignedClient) -> None:
    """The bank captures money for a payment that it has confirmed as cancelled: it is refunded."""
    payment = _compensated(client, SILENT.replace("no_webhook,", ""))
    bank.pay_closed_payment(_page(payment["payment_no"]))
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.refunded_minor) == ("failed", 10_000, 10_000)


@pytest.mark.parametrize("refusal", ["refund_declined", "refund_fails_later:0"])
def test_a_failed_refund_of_a_late_payment_needs_review(client: SignedClient, refusal: str) -> None:
    payment = opened(client, refusal)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    bank.settle_due_payments()
    background.make_checks_due()
    poll_due()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert row.needs_attention
    assert "late payment" in row.attention_reason


def test_success_at_the_channel_races_a_cancel(client: SignedClient, line: InterceptedSimulator) -> None:
    """The customer pays while our cancel is in flight: the payment succeeds, and the cancel is refused."""
    payment = opened(client, "no_webhook")

    def pay_first(operation: str, _request: Any) -> None:
        if operation == "cancel_payment":
            bank.pay(payment)

    line.before = pay_first
    cancel(client, payment)
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_success_at_the_channel_races_a_compensation(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The customer pays between the last query and the cancel of the compensation: the payment succeeds."""
    paid: list[str] = []

    def pay_first(operation: str, request: Any) -> None:
        if operation == "cancel_payment" and not paid:
            paid.append(request.payment.reference)
            bank.pay(_page(request.payment.reference))

    line.before = pay_first
    payment = data(create(client, SILENT), 202)
    background.finish()
    assert paid == [payment["payment_no"]]
    assert background.saga_of(payment["payment_no"], "payment.create").status == "completed"
    assert get_payment(client, payment)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_a_charge_with_a_lost_answer_is_not_a_failure(client: SignedClient) -> None:
    payment = data(create(client, "timeout_after_charge"), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


@pytest.mark.parametrize("operation", ["capture", "refund"])
def test_the_channel_does_not_know_what_it_has_reported(
    client: SignedClient, line: InterceptedSimulator, operation: str
) -> None:
    """The outcome cannot be known: the saga needs review, and no worker fails because of it."""
    if operation == "capture":
        payment = authorized(client, "no_webhook")
        calls = {"capture_payment", "find_payment"}
    else:
        payment = paid(client)
        calls = {"refund_payment", "find_refund"}
    line.after = lambda called, result: NotFoundAtChannel() if called in calls else result
    answer = capture(client, payment) if operation == "capture" else refund(client, payment, 1_000)
    assert answer.status_code == 202
    background.finish()
    number = payment["payment_no"] if operation == "capture" else data(answer, 202)["refund_no"]
    flow = "payment.capture" if operation == "capture" else "refund.create"
    saga = background.saga_of(number, flow)
    assert (saga.needs_attention, saga.status) == (True, "in_progress")
    line.mend()
    operations.wake_saga(saga_id=saga.id)
    background.finish()
    saga.refresh_from_db()
    assert (saga.needs_attention, saga.status) == (False, "completed")

"""The platform completes a payment that the customer has approved, once."""

import datetime as dt
from dataclasses import replace

import pytest
from django.utils import timezone

from channels.base import (
    ChannelPayment,
    CompletePayment,
    Declined,
    NotFoundAtChannel,
    NotProcessed,
    PaymentResult,
    PaymentState,
    Reported,
    UnknownOutcome,
)
from gateway.models import UpdateEffect
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.update_source import UpdateSource
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.approving import ApprovingChannel, approved, build_completion, build_ref
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import Killed, add_channel
from tests.support.shop import cancel, create, data, error, get_payment, opened, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

LOST = UnknownOutcome("lost", is_channel_fault=False)


@pytest.fixture
def approving(monkeypatch: pytest.MonkeyPatch) -> ApprovingChannel:
    channel = add_channel(monkeypatch, "approving", ApprovingChannel())
    assert isinstance(channel, ApprovingChannel)
    return channel


def test_we_complete_what_the_customer_approved(client: SignedClient, approving: ApprovingChannel) -> None:
    payment = approved(client, approving)
    assert data(sync(client, payment))["status"] == "processing"
    error(cancel(client, payment), 409, "payment_not_cancellable")
    saga = background.saga_of(payment["payment_no"], "payment.complete")
    left = (saga.deadline_at - saga.created_at).total_seconds()
    assert 3 * 3600 - 120 < left <= 3 * 3600
    assert data(sync(client, payment))["status"] == "processing"
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"
    data(sync(client, payment))
    background.finish()
    assert len(approving.completions) == 1


def test_the_creation_itself_is_approved(client: SignedClient, approving: ApprovingChannel) -> None:
    approving.after = lambda _operation, result: (
        Reported(replace(result.value, state=PaymentState.APPROVED))
        if result.value.state == PaymentState.OPEN
        else result
    )
    payment = data(create(client, channel="approving", metadata={"approving": "no_webhook"}))
    assert payment["status"] == "processing"
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"


def test_with_manual_capture_it_is_authorized(client: SignedClient, approving: ApprovingChannel) -> None:
    payment = approved(client, approving, capture_method="manual")
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "authorized"


def test_a_decline_ends_the_payment(client: SignedClient, approving: ApprovingChannel) -> None:
    approving.faults = [lambda _request: Declined("insufficient_funds", "no money")]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    failed = get_payment(client, payment)
    assert (failed["status"], failed["failure_code"]) == ("failed", "insufficient_funds")
    # It is still approved at the channel: nothing is completed, nothing is late.
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["captured_amount"] == 0
    assert len(approving.completions) == 1


def test_a_lost_answer_is_queried(client: SignedClient, approving: ApprovingChannel) -> None:
    def charge_and_lose(request: CompletePayment) -> PaymentResult:
        approving.charge(request)
        return LOST

    approving.faults = [lambda _request: LOST, charge_and_lose]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"
    assert len(approving.completions) == 2
    assert len(set(approving.completions)) == 1


@pytest.mark.parametrize("is_charged", [False, True])
def test_a_worker_dies_in_the_call(
    client: SignedClient, approving: ApprovingChannel, is_charged: bool
) -> None:
    def die(request: CompletePayment) -> PaymentResult:
        if is_charged:
            approving.charge(request)
        raise Killed

    approving.faults = [die]
    payment = approved(client, approving)
    data(sync(client, payment))
    with pytest.raises(Killed):
        background.finish()
    background.expire_all_leases()
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_the_approval_has_lapsed_already(client: SignedClient, approving: ApprovingChannel) -> None:
    approving.complete_before = timezone.now() - dt.timedelta(seconds=1)
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    failed = get_payment(client, payment)
    assert (failed["status"], failed["failure_code"]) == ("failed", "approval_lapsed")
    assert approving.completions == []


def test_a_cancelled_payment_is_never_completed(client: SignedClient, approving: ApprovingChannel) -> None:
    """The channel cannot revoke the approval, which lapses because we do not complete it."""
    payment = approved(client, approving)
    at_channel = approving.find_payment(build_ref(payment))
    approving.cancel_payment = lambda _request: at_channel  # type: ignore[attr-defined]
    assert data(cancel(client, payment))["status"] == "cancelled"
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert approving.completions == []


def test_the_approval_lapses_while_the_channel_is_down(
    client: SignedClient, approving: ApprovingChannel
) -> None:
    def lapse(_request: CompletePayment) -> PaymentResult:
        SagaInstance.objects.filter(definition="payment.complete").update(deadline_at=timezone.now())
        return NotProcessed("no connection")

    approving.faults = [lapse]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    failed = get_payment(client, payment)
    assert (failed["status"], failed["failure_code"]) == ("failed", "deadline_passed")
    assert len(approving.completions) == 1


def test_the_worker_dies_and_the_approval_lapses(client: SignedClient, approving: ApprovingChannel) -> None:
    """The saga ends before its first step: the next report of the approval ends the payment."""
    payment = approved(client, approving)
    data(sync(client, payment))
    an_hour_ago = timezone.now() - dt.timedelta(hours=1)
    SagaInstance.objects.filter(definition="payment.complete").update(deadline_at=an_hour_ago)
    background.finish()
    assert get_payment(client, payment)["status"] == "processing"
    approving.complete_before = timezone.now()
    assert data(sync(client, payment))["failure_code"] == "approval_lapsed"
    assert approving.completions == []


@pytest.mark.parametrize("has_lapsed", [False, True])
def test_a_late_report_of_the_approval_changes_nothing(
    client: SignedClient, approving: ApprovingChannel, has_lapsed: bool
) -> None:
    """The channel still processes the completed payment, such as a transfer from the customer's bank."""

    def process(request: CompletePayment) -> PaymentResult:
        found = approving.find_payment(request.payment)
        return Reported(replace(found.value, state=PaymentState.PROCESSING))

    approving.faults = [process]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    if has_lapsed:
        approving.complete_before = timezone.now()
    assert data(sync(client, payment))["status"] == "processing"
    background.finish()
    assert len(approving.completions) == 1
    approving.charge(build_completion(payment))
    assert data(sync(client, payment))["status"] == "succeeded"


def test_a_payment_that_closes_before_the_worker_comes(
    client: SignedClient, approving: ApprovingChannel
) -> None:
    payment = approved(client, approving)
    data(sync(client, payment))
    approving.cancel(payment)
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert approving.completions == []


def test_a_decline_after_a_lost_answer_is_checked(client: SignedClient, approving: ApprovingChannel) -> None:
    """The lost call arrives late, and the channel declines the next one because of it."""

    def arrive_late(request: CompletePayment) -> PaymentResult:
        approving.charge(request)
        return Declined("already_completed", "the order was captured before")

    approving.faults = [lambda _request: LOST, arrive_late]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"


def test_the_channel_forgets_the_approval(client: SignedClient, approving: ApprovingChannel) -> None:
    approving.faults = [lambda _request: NotFoundAtChannel()]
    payment = approved(client, approving)
    data(sync(client, payment))
    background.finish()
    failed = get_payment(client, payment)
    assert (failed["status"], failed["failure_code"]) == ("failed", "approval_gone")


def test_an_approval_during_a_cancellation_starts_nothing(
    client: SignedClient, approving: ApprovingChannel
) -> None:
    """The cancellation's answer is lost, and the customer approves meanwhile."""
    payment = opened(client, channel="approving", metadata={"approving": "no_webhook"})
    approving.cancel_payment = lambda _request: LOST  # type: ignore[attr-defined]
    data(cancel(client, payment), 202)
    approving.approved.add(payment["payment_no"])
    assert data(sync(client, payment))["status"] == "pending"
    del approving.cancel_payment  # type: ignore[attr-defined]
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert approving.completions == []


def test_an_earlier_attempt_is_never_completed(client: SignedClient, approving: ApprovingChannel) -> None:
    payment = approved(client, approving)
    approving.cancel(payment)
    data(sync(client, payment))
    again = {"channel": "approving", "metadata": {"approving": "no_webhook"}}
    assert data(create(client, order_no=payment["order_no"], **again))["status"] == "pending"
    late = ChannelPayment(
        reference=payment["payment_no"],
        channel_trade_no=payment["channel_trade_no"],
        state=PaymentState.APPROVED,
        amount_minor=payment["amount"],
        currency=payment["currency"],
    )
    assert apply_payment_update(update=late, source=UpdateSource("approving")) == UpdateEffect.NOTHING_NEW
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("pending", 0)
    assert approving.completions == []

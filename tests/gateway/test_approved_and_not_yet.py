"""A payment that the customer has approved and we complete, and a page that the channel cannot close."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from channels.base import (
    CancelPayment,
    ChannelPayment,
    CompletePayment,
    Declined,
    NotFoundAtChannel,
    NotYet,
    PaymentRef,
    PaymentResult,
    PaymentState,
    Reported,
    UnknownOutcome,
)
from channels.simulator import ledger
from channels.simulator.models import SimulatedPayment
from gateway.models import Payment
from gateway.services import expiry
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channels import TEST_ACCOUNT, AdditionalChannel, Killed, add_channel
from tests.support.sagas import run_due
from tests.support.shop import cancel, create, data, error, get_payment, opened, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


class ApprovingChannel(AdditionalChannel):
    """The customer's agreement moves no money: the platform completes the payment. Keeps answers under keys."""

    def __init__(self) -> None:
        super().__init__("approving")
        self.approved: set[str] = set()
        self.complete_before: dt.datetime | None = timezone.now() + dt.timedelta(hours=3)
        self.completions: list[str] = []
        self.faults: list[Callable[[CompletePayment], PaymentResult]] = []
        self.after = self._show_approval

    def _show_approval(self, _operation: str, result: Any) -> Any:
        if not isinstance(result, Reported) or not isinstance(result.value, ChannelPayment):
            return result
        payment = result.value
        if payment.reference not in self.approved or payment.state != PaymentState.OPEN:
            return result
        return Reported(replace(payment, state=PaymentState.APPROVED, complete_before=self.complete_before))

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        self.completions.append(request.key)
        if self.faults:
            return self.faults.pop(0)(request)
        return self.charge(request)

    def charge(self, request: CompletePayment) -> PaymentResult:
        payment = SimulatedPayment.objects.get(reference=request.payment.reference)
        if payment.state == PaymentState.OPEN:
            ledger.submit_payment(payment)
        found: PaymentResult = self._simulator.find_payment(request.payment)
        return found


@pytest.fixture
def approving(monkeypatch: pytest.MonkeyPatch) -> ApprovingChannel:
    channel = add_channel(monkeypatch, "approving", ApprovingChannel())
    assert isinstance(channel, ApprovingChannel)
    return channel


def approved(client: SignedClient, channel: ApprovingChannel, **changes: Any) -> dict[str, Any]:
    payment = opened(client, channel="approving", metadata={"approving": "no_webhook"}, **changes)
    channel.approved.add(payment["payment_no"])
    return payment


class TestApproved:
    def test_we_complete_what_the_customer_approved(
        self, client: SignedClient, approving: ApprovingChannel
    ) -> None:
        payment = approved(client, approving)
        assert data(sync(client, payment))["status"] == "processing"
        error(cancel(client, payment), 409, "payment_not_cancellable")
        assert data(sync(client, payment))["status"] == "processing"
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"
        data(sync(client, payment))
        background.finish()
        assert len(approving.completions) == 1
        saga = background.saga_of(payment["payment_no"], "payment.complete")
        left = (saga.deadline_at - saga.created_at).total_seconds()
        assert 3 * 3600 - 120 < left <= 3 * 3600

    def test_the_creation_itself_is_approved(self, client: SignedClient, approving: ApprovingChannel) -> None:
        approving.after = lambda _operation, result: (
            Reported(replace(result.value, state=PaymentState.APPROVED))
            if result.value.state == PaymentState.OPEN
            else result
        )
        payment = data(create(client, channel="approving", metadata={"approving": "no_webhook"}))
        assert payment["status"] == "processing"
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"

    def test_with_manual_capture_it_is_authorized(
        self, client: SignedClient, approving: ApprovingChannel
    ) -> None:
        payment = approved(client, approving, capture_method="manual")
        data(sync(client, payment))
        background.finish()
        assert get_payment(client, payment)["status"] == "authorized"

    def test_a_decline_ends_the_payment(self, client: SignedClient, approving: ApprovingChannel) -> None:
        approving.faults = [lambda _request: Declined("insufficient_funds", "no money")]
        payment = approved(client, approving)
        data(sync(client, payment))
        background.finish()
        failed = get_payment(client, payment)
        assert (failed["status"], failed["failure_code"]) == ("failed", "insufficient_funds")
        data(
            sync(client, payment)
        )  # it is still approved at the channel: nothing is completed, nothing is late
        background.finish()
        assert get_payment(client, payment)["captured_amount"] == 0
        assert len(approving.completions) == 1

    def test_a_lost_answer_is_queried(self, client: SignedClient, approving: ApprovingChannel) -> None:
        def charge_and_lose(request: CompletePayment) -> PaymentResult:
            approving.charge(request)
            return UnknownOutcome("lost", is_channel_fault=False)

        def lose(_request: CompletePayment) -> PaymentResult:
            return UnknownOutcome("lost", is_channel_fault=False)

        approving.faults = [lose, charge_and_lose]
        payment = approved(client, approving)
        data(sync(client, payment))
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"
        assert len(approving.completions) == 2
        assert len(set(approving.completions)) == 1

    @pytest.mark.parametrize("is_charged", [False, True])
    def test_a_worker_dies_in_the_call(
        self, client: SignedClient, approving: ApprovingChannel, is_charged: bool
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
        background.crash_of_every_worker()
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"
        assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]

    def test_the_approval_has_lapsed_already(self, client: SignedClient, approving: ApprovingChannel) -> None:
        approving.complete_before = timezone.now() - dt.timedelta(seconds=1)
        payment = approved(client, approving)
        data(sync(client, payment))
        background.finish()
        failed = get_payment(client, payment)
        assert (failed["status"], failed["failure_code"]) == ("failed", "approval_lapsed")
        assert approving.completions == []

    def test_a_cancelled_payment_is_never_completed(
        self, client: SignedClient, approving: ApprovingChannel
    ) -> None:
        """The channel cannot take the approval back; what we do not complete lapses."""
        payment = approved(client, approving)
        at_channel = approving.find_payment(PaymentRef(payment["payment_no"], TEST_ACCOUNT, 10.0))
        approving.cancel_payment = lambda _request: at_channel  # type: ignore[attr-defined]
        assert data(cancel(client, payment))["status"] == "cancelled"
        data(sync(client, payment))
        background.finish()
        assert get_payment(client, payment)["status"] == "cancelled"
        assert approving.completions == []


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AdditionalChannel:
    """Its page cannot be closed: until the end nobody can say that the payment will not come into being."""
    channel = add_channel(monkeypatch, "page")
    until = timezone.now() + dt.timedelta(hours=2)
    channel.cancel_payment = lambda _request: NotYet(until)  # type: ignore[attr-defined]
    channel.find_payment = lambda _ref: NotYet(until)  # type: ignore[attr-defined]
    return channel


def page_ends(channel: AdditionalChannel) -> None:
    channel.find_payment = lambda _ref: NotFoundAtChannel()  # type: ignore[attr-defined]

    def close(request: CancelPayment) -> PaymentResult:
        """The bank of the test closes its page too, for the audit."""
        channel._simulator.cancel_payment(request)
        return NotFoundAtChannel()

    channel.cancel_payment = close  # type: ignore[attr-defined]


def pay_on_page(channel: AdditionalChannel, payment: dict[str, Any]) -> None:
    del channel.find_payment, channel.cancel_payment  # type: ignore[attr-defined]
    bank.pay(payment)


def open_page(client: SignedClient) -> dict[str, Any]:
    return opened(client, channel="page", metadata={"page": "no_webhook"})


def wait_of(payment: dict[str, Any]) -> tuple[SagaInstance, float]:
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    step = saga.steps.get(step_name="CancelAtChannel")
    assert step.retry_count == 0
    assert step.next_retry_at is not None
    return saga, (step.next_retry_at - timezone.now()).total_seconds()


class TestNotYet:
    def test_a_cancel_waits_for_the_end_of_the_page(
        self, client: SignedClient, page: AdditionalChannel
    ) -> None:
        payment = open_page(client)
        assert data(cancel(client, payment), 202)["status"] == "pending"
        assert data(sync(client, payment))["status"] == "pending"
        saga, wait_seconds = wait_of(payment)
        assert 7100 < wait_seconds <= 7260
        assert (saga.deadline_at - timezone.now()).total_seconds() > wait_seconds
        page_ends(page)
        background.finish()
        assert get_payment(client, payment)["status"] == "cancelled"

    def test_money_that_comes_meanwhile_wins(self, client: SignedClient, page: AdditionalChannel) -> None:
        payment = open_page(client)
        data(cancel(client, payment), 202)
        pay_on_page(page, payment)
        assert data(sync(client, payment))["status"] == "succeeded"
        background.finish()
        saga = background.saga_of(payment["payment_no"], "payment.cancel")
        assert saga.status == "completed"
        assert get_payment(client, payment)["captured_amount"] == 10_000

    def test_the_update_wakes_the_cancellation(self, client: SignedClient, page: AdditionalChannel) -> None:
        payment = open_page(client)
        data(cancel(client, payment), 202)
        pay_on_page(page, payment)
        data(sync(client, payment))
        saga = background.saga_of(payment["payment_no"], "payment.cancel")
        assert saga.due_at <= timezone.now()
        run_due()

    def test_an_expired_payment_closes_only_after_its_page(
        self, client: SignedClient, page: AdditionalChannel
    ) -> None:
        payment = open_page(client)
        background.time_to_pay_is_over(payment["payment_no"])
        expiry.expire_due_payments(environment="test")
        run_due()
        assert get_payment(client, payment)["status"] == "pending"
        wait_of(payment)
        page_ends(page)
        background.finish()
        assert get_payment(client, payment)["status"] == "expired"

    def test_a_cancel_during_the_creation_closes_at_once(
        self, client: SignedClient, page: AdditionalChannel
    ) -> None:
        """Nobody has got the page of a payment whose creation was never answered."""
        script = {"page": "timeout_before*always,no_webhook"}
        payment = data(create(client, channel="page", metadata=script), 202)
        data(cancel(client, payment), 202)
        background.finish()
        assert get_payment(client, payment)["status"] == "cancelled"
        assert not Payment.objects.get(payment_no=payment["payment_no"]).needs_attention

"""A channel whose customers only approve: the platform completes their payments."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.utils import timezone

from channels.base import (
    CancelPayment,
    ChannelPayment,
    CompletePayment,
    PaymentRef,
    PaymentResult,
    PaymentState,
    Reported,
)
from channels.simulator import ledger
from channels.simulator.models import SimulatedPayment
from tests.support.channels import TEST_ACCOUNT, AdditionalChannel
from tests.support.shop import Body, opened
from tests.support.signing import SignedClient


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

    def cancel(self, payment: Body) -> None:
        """The channel itself ends the payment."""
        self.approved.discard(payment["payment_no"])
        answer = self._simulator.cancel_payment(CancelPayment("by-channel", build_ref(payment)))
        assert isinstance(answer, Reported)


def approved(client: SignedClient, channel: ApprovingChannel, **changes: Any) -> dict[str, Any]:
    payment = opened(client, channel="approving", metadata={"approving": "no_webhook"}, **changes)
    channel.approved.add(payment["payment_no"])
    return payment


def build_ref(payment: Body) -> PaymentRef:
    return PaymentRef(payment["payment_no"], TEST_ACCOUNT, 10.0)


def build_completion(payment: Body) -> CompletePayment:
    return CompletePayment("by-hand", build_ref(payment), payment["amount"], payment["currency"])

"""The simulator on real PostgreSQL, on its own connection, as the platform uses it."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from django.db import connections

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelPayment,
    CreatePayment,
    CreateRefund,
    PaymentRef,
    Reported,
)
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import LedgerEntry
from tests.support.channels import TEST_ACCOUNT, build_creation

T = TypeVar("T")


@pytest.fixture
def channel() -> SimulatorChannel:
    return SimulatorChannel()


class Shop:
    """Makes the calls of the platform, each with a key of its own."""

    def __init__(self, channel: SimulatorChannel) -> None:
        self.channel = channel
        self._numbers = itertools.count(1)

    def creation(self, simulate: str = "", **changes: Any) -> CreatePayment:
        return build_creation(metadata={"simulate": simulate} if simulate else {}, **changes)

    def pay(self, simulate: str = "", **changes: Any) -> ChannelPayment:
        """Creates a payment that the customer has paid (or authorized, with `manual_capture`)."""
        return self.create(f"auto_pay,{simulate}" if simulate else "auto_pay", **changes)

    def create(self, simulate: str = "", **changes: Any) -> ChannelPayment:
        answer = self.channel.create_payment(self.creation(simulate, **changes))
        assert isinstance(answer, Reported), answer
        return answer.value

    def cancellation(self, reference: str) -> CancelPayment:
        return CancelPayment(key=self.key("cancel"), payment=ref(reference))

    def capture(self, reference: str, amount: int = 10_000) -> CapturePayment:
        return CapturePayment(key=self.key("capture"), payment=ref(reference), amount_minor=amount)

    def refund(self, reference: str, amount: int = 10_000, **changes: Any) -> CreateRefund:
        key = self.key("refund")
        request = CreateRefund(
            key=key,
            reference=f"REF-{key}",
            payment=ref(reference),
            amount_minor=amount,
            currency="USD",
            reason="",
            payment_amount_minor=10_000,
        )
        return replace(request, **changes)

    def key(self, operation: str) -> str:
        return f"{operation}-{next(self._numbers)}"


@pytest.fixture
def shop(channel: SimulatorChannel) -> Shop:
    return Shop(channel)


def ref(reference: str) -> PaymentRef:
    return PaymentRef(reference=reference, account=TEST_ACCOUNT, timeout_seconds=10.0)


def ledger(reference: str) -> list[tuple[str, int]]:
    return list(LedgerEntry.objects.filter(reference=reference).order_by("id").values_list("kind", "amount"))


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Runs the calls on threads that all start at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        try:
            connections["simulator"].ensure_connection()
            barrier.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture(autouse=True)
def hints(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Records the wake-up hints to Celery instead of sending them, so that no test depends on a worker."""
    sent: list[bool] = []
    monkeypatch.setattr("channels.simulator.notifications.send_hint", lambda _task: sent.append(True))
    return sent

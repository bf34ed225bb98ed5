"""Channels whose calls a test can observe, lose or change.

simulator = intercept_simulator(monkeypatch)
simulator.before = lambda operation, request: seen.append(operation)
simulator.after = lambda operation, result: replace(result, …)
"""

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from channels import registry
from channels.base import ActionType, ChannelAccount, ChannelCapabilities, CreatePayment, PaymentMethod
from channels.simulator.channel import SimulatorChannel

SIMULATOR_PATH = "channels.simulator.channel.SimulatorChannel"
CALLS = frozenset(
    [
        "create_payment",
        "find_payment",
        "cancel_payment",
        "capture_payment",
        "increment_authorization",
        "list_payments",
        "refund_payment",
        "find_refund",
        "find_refunds",
        "list_refunds",
    ]
)


TEST_ACCOUNT = ChannelAccount("test")
# Of a channel with one page, and without limits.
CAPABILITIES = ChannelCapabilities(
    methods=(PaymentMethod("page", ActionType.REDIRECT, can_capture_manually=True),)
)


class Killed(BaseException):
    """Ends a thread as a killed process would end: no code of ours catches it."""


class InterceptedSimulator:
    """The simulator with two hooks around the calls in `CALLS`: `before` and `after`."""

    def __init__(self) -> None:
        self._simulator = SimulatorChannel()
        self.before: Callable[[str, Any], None] = lambda operation, request: None
        self.after: Callable[[str, Any], Any] = lambda operation, result: result

    def __getattr__(self, operation: str) -> Any:
        inner = getattr(self._simulator, operation)
        if operation not in CALLS:
            return inner

        def call(request: Any) -> Any:
            self.before(operation, request)
            return self.after(operation, inner(request))

        return call

    def kill_before(self, operation: str) -> None:
        """The caller is killed before the call."""

        def die(called: str, _request: Any) -> None:
            if called == operation:
                raise Killed

        self.before = die

    def kill_after(self, operation: str) -> None:
        """The caller is killed after the call, before it gets the result."""

        def die(called: str, result: Any) -> Any:
            if called == operation:
                raise Killed
            return result

        self.after = die

    def mend(self) -> None:
        self.before, self.after = (lambda operation, request: None), (lambda operation, result: result)


def intercept_simulator(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    simulator = InterceptedSimulator()
    monkeypatch.setitem(registry._instances, SIMULATOR_PATH, simulator)
    return simulator


class AdditionalChannel(InterceptedSimulator):
    """A channel of another name with the simulator's ledger. Its script is in the payment's metadata under its name."""

    is_sandbox = False
    capabilities = CAPABILITIES

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def get_unavailable_reason(self, environment: str) -> None:
        return None

    def __getattr__(self, operation: str) -> Any:
        call = super().__getattr__(operation)
        if operation != "create_payment":
            return call
        return lambda request: call(
            replace(request, metadata={"simulate": request.metadata.get(self.name, "")})
        )


def add_channel(
    monkeypatch: pytest.MonkeyPatch, name: str, channel: AdditionalChannel | None = None
) -> AdditionalChannel:
    channel = channel or AdditionalChannel(name)
    path = f"tests.support.channels.{name}"
    monkeypatch.setitem(registry._instances, path, channel)
    monkeypatch.setattr(settings, "CHANNELS", [*settings.CHANNELS, path])
    return channel


def build_creation(**changes: Any) -> CreatePayment:
    """Builds the request that creates a payment, with a reference and a key of its own."""
    reference, now = f"PAY-{secrets.token_hex(6)}", dt.datetime.now(dt.UTC)
    return replace(
        CreatePayment(
            key=f"create-{reference}",
            reference=reference,
            account=TEST_ACCOUNT,
            amount_minor=10_000,
            currency="USD",
            subject="Coffee",
            description="",
            return_url="https://shop.example/thanks",
            manual_capture=False,
            expires_in_seconds=1800,
            timeout_seconds=10.0,
            started_at=now,
            intended_at=now,
        ),
        **changes,
    )

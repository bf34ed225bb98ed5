"""What stands between the platform and every channel: the circuit breaker, and a limit to the calls in flight.

A call that is refused here was certainly not made and says nothing about its payment: it spends no attempt. So does
a call that was let through only to see whether the channel is back.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from django.conf import settings
from opentelemetry.trace import SpanKind

from channels import breaker, metrics
from channels.base import (
    CancelPayment,
    CapturePayment,
    Channel,
    ChannelEvent,
    ChannelPayment,
    ChannelRefund,
    CreatePayment,
    CreateRefund,
    Listed,
    NewKeyRequired,
    NotProcessed,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    UnknownOutcome,
    Window,
)
from channels.breaker import Admission, Admitted, Phase, Refused, State
from channels.shared_state import SharedState
from common import tracing

A = TypeVar("A", PaymentResult, RefundResult, RefundListResult)

# A fast channel frees a place within this time; behind a slow one nobody waits longer.
PLACE_WAIT_SECONDS = 0.05
PLACE_RETRY_SECONDS = (0.5, 2.0)


class CallGuard:
    """The way to one channel in one environment, for all threads of this process."""

    def __init__(self, channel: str, environment: str) -> None:
        self._names = (channel, environment)
        metrics.initialize(channel, environment)
        self._state = SharedState(channel, environment)
        # Per process and in memory: a killed process leaves no place taken.
        self._places = threading.BoundedSemaphore(settings.CHANNEL_CALLS_PER_PROCESS)

    def carry(self, operation: str, call: Callable[[], A]) -> A | NotProcessed | UnknownOutcome:
        channel, environment = self._names
        attributes = {
            "channel.name": channel,
            "channel.environment": environment,
            "channel.operation": operation,
        }
        with tracing.span(f"{channel} {operation}", attributes, kind=SpanKind.CLIENT) as span:
            answer = self._carry(operation, call)
            span.set_attribute("channel.outcome", metrics.outcome_of(answer))
            if isinstance(answer, NotProcessed | UnknownOutcome):
                tracing.failed(span, metrics.outcome_of(answer))
            return answer

    def _carry(self, operation: str, call: Callable[[], A]) -> A | NotProcessed | UnknownOutcome:
        if not self._places.acquire(timeout=PLACE_WAIT_SECONDS):
            return self._refuse("full", random.uniform(*PLACE_RETRY_SECONDS))  # noqa: S311
        try:
            admission = self._admission()
            if isinstance(admission, Refused):
                return self._refuse("breaker_open", admission.retry_after_seconds)
            began = time.perf_counter()
            answer = call()
        finally:
            self._places.release()
        metrics.count_call(*self._names, operation, answer, seconds=time.perf_counter() - began)
        if isinstance(answer, NewKeyRequired):
            return answer  # kept from an earlier call: says nothing about the channel now
        if not isinstance(answer, NotProcessed | UnknownOutcome):
            self._learn(good=True, probe=admission.probe)
            return answer
        if answer.is_channel_fault:
            self._learn(good=False, probe=admission.probe)
        return replace(answer, spends_attempt=False) if admission.probe else answer

    @property
    def is_down(self) -> bool:
        """The breaker is open: a call now would be refused."""
        return not self._state.was_quiet and self._state.change(_is_open)

    def _admission(self) -> Admission:
        return Admitted() if self._state.was_quiet else self._state.change(breaker.admission)

    def _learn(self, *, good: bool, probe: bool) -> None:
        def rule(state: State, now: float) -> tuple[State, None]:
            return breaker.after_answer(state, now, good=good, probe=probe), None

        if not (good and self._state.was_quiet):
            self._state.change(rule)

    def _refuse(self, why: str, retry_after_seconds: float) -> NotProcessed:
        metrics.REFUSALS.labels(*self._names, why).inc()
        reason = "the channel is down" if why == "breaker_open" else "too many calls are in flight"
        return NotProcessed(f"not sent: {reason}", retry_after_seconds, spends_attempt=False)


def _is_open(state: State, now: float) -> tuple[State, bool]:
    return state, state.phase is Phase.OPEN and now < state.until


_lines: dict[tuple[str, str], CallGuard] = {}


def _line(channel: str, environment: str) -> CallGuard:
    found = _lines.get((channel, environment))
    # Of two threads that come first at once, both get the same one.
    return found or _lines.setdefault((channel, environment), CallGuard(channel, environment))


class GuardedChannel:
    """A channel as the platform sees it. Questions pass the same way: they keep a channel that is down busy like any
    call, and make the best probes, because they change nothing. Webhooks come in, and are not held up. A listing goes
    over many pages and tells of the channel's archive, not of its health: it passes by the breaker."""

    def __init__(self, channel: Channel, environment: str) -> None:
        self.name = channel.name
        self._channel = channel
        self._line = _line(channel.name, environment)

    @property
    def is_down(self) -> bool:
        return self._line.is_down

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        return self._line.carry("create_payment", lambda: self._channel.create_payment(request))

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return self._line.carry("find_payment", lambda: self._channel.find_payment(payment))

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return self._line.carry("cancel_payment", lambda: self._channel.cancel_payment(request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        return self._line.carry("capture_payment", lambda: self._channel.capture_payment(request))

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        return self._line.carry("refund_payment", lambda: self._channel.refund_payment(request))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        return self._line.carry("find_refund", lambda: self._channel.find_refund(refund))

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        return self._line.carry("find_refunds", lambda: self._channel.find_refunds(payment))

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
        return self._channel.parse_webhook(body=body, headers=headers)

    def list_payments(self, window: Window) -> Iterator[Listed[ChannelPayment]]:
        return self._channel.list_payments(window)

    def list_refunds(self, window: Window) -> Iterator[Listed[ChannelRefund]]:
        return self._channel.list_refunds(window)

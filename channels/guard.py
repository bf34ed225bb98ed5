"""Guards every channel with a circuit breaker and limits to the calls in flight.

A call that is refused here was certainly not made: it spends no attempt. A probe that fails spends no attempt either.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO, TypeVar

from django.conf import settings
from opentelemetry.trace import SpanKind

from channels import breaker, metrics
from channels.base import (
    AcceptDispute,
    CancelPayment,
    CapturePayment,
    Channel,
    ChannelAccount,
    ChannelCapabilities,
    ChannelPayment,
    ChannelRefund,
    CompletePayment,
    CreatePayment,
    CreateRefund,
    DisputePort,
    DisputeRef,
    DisputeResult,
    EvidenceRules,
    FileResult,
    IncrementAuthorization,
    ListingEntry,
    ListingWindow,
    NewKeyRequired,
    NotProcessed,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    StatementRequest,
    StatementSource,
    SubmitEvidence,
    UnknownOutcome,
    UploadEvidence,
    WebhookEvent,
    WebhookRequest,
)
from channels.breaker import BreakerPhase, BreakerState, CallAdmitted, CallRefused
from channels.call_places import CallPlaces
from channels.shared_breaker_state import SharedBreakerState
from common import tracing
from common.external_calls import fairness_key, release_connections, release_while_waiting

E = TypeVar("E")
R = TypeVar("R", PaymentResult, RefundResult, RefundListResult, DisputeResult, FileResult)

PLACE_RETRY_SECONDS = (0.5, 2.0)


class TooManyCalls(Exception):
    """Too many webhooks of the account are being parsed: the channel sends this one again."""


class CallGuard:
    """Admits the calls for one channel account, for all threads of this process."""

    def __init__(self, channel: str, environment: str, account: str) -> None:
        self._labels = (channel, environment, account)
        metrics.initialize(channel, environment, account)
        self._state = SharedBreakerState(channel, environment, account)
        self._places = _get_call_places()

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: a call would be refused now."""
        return not self._state.was_quiet and self._state.change(_read_is_open)

    def call(self, operation: str, send: Callable[[], R]) -> R | NotProcessed | UnknownOutcome:
        """Sends a call if it is admitted, in a span of its own."""
        channel, environment, account = self._labels
        attributes = {
            "channel.name": channel,
            "channel.environment": environment,
            "channel.account": account,
            "channel.operation": operation,
        }
        with tracing.span(f"{channel} {operation}", attributes, kind=SpanKind.CLIENT) as span:
            result = self._send_if_admitted(operation, send)
            outcome = metrics.outcome_of(result)
            span.set_attribute("channel.outcome", outcome)
            if isinstance(result, NotProcessed | UnknownOutcome):
                tracing.mark_failed(span, outcome)
            return result

    def _send_if_admitted(self, operation: str, send: Callable[[], R]) -> R | NotProcessed | UnknownOutcome:
        """The call needs a place and the breaker's admission. While the breaker was quiet a moment ago, its shared
        state is not read."""
        with release_while_waiting(), self._places.take(self._labels, fairness_key.get()) as has_place:
            if not has_place:
                return self._refuse("full", random.uniform(*PLACE_RETRY_SECONDS))  # noqa: S311
            admission = CallAdmitted() if self._state.was_quiet else self._state.change(breaker.admit_call)
            if isinstance(admission, CallRefused):
                return self._refuse("breaker_open", admission.retry_after_seconds)
            started = time.perf_counter()
            result = send()
        seconds = time.perf_counter() - started
        metrics.count_call(*self._labels, operation, result, seconds=seconds)
        return self._record(result, is_probe=admission.is_probe)

    def parse_with_calls(self, parse: Callable[[], WebhookEvent]) -> WebhookEvent:
        """Parses a webhook in a place of its own: neither do calls of the account that hang stop its webhooks, nor do
        webhooks whose calls hang take the places of its calls. Raises `TooManyCalls`."""
        with release_while_waiting(), self._places.take((*self._labels, "webhooks"), "") as has_place:
            if not has_place:
                metrics.REFUSALS.labels(*self._labels, "full").inc()
                raise TooManyCalls
            return parse()

    def _record(self, result: R, *, is_probe: bool) -> R | NotProcessed | UnknownOutcome:
        """Tells the breaker what the result says about the channel's health."""
        if isinstance(result, NewKeyRequired):
            return result  # an answer from an earlier call: says nothing about the channel now
        if not isinstance(result, NotProcessed | UnknownOutcome):
            self._record_in_breaker(is_answered=True, is_probe=is_probe)
            return result
        if result.is_channel_fault:
            self._record_in_breaker(is_answered=False, is_probe=is_probe)
        return replace(result, spends_attempt=False) if is_probe else result

    def _record_in_breaker(self, *, is_answered: bool, is_probe: bool) -> None:
        def rule(state: BreakerState, now: float) -> tuple[BreakerState, None]:
            return breaker.record_result(state, now, is_answered=is_answered, is_probe=is_probe), None

        if not (is_answered and self._state.was_quiet):
            self._state.change(rule)

    def _refuse(self, cause: str, retry_after_seconds: float) -> NotProcessed:
        metrics.REFUSALS.labels(*self._labels, cause).inc()
        reason = "the channel is down" if cause == "breaker_open" else "too many calls are in flight"
        return NotProcessed(f"not sent: {reason}", retry_after_seconds, spends_attempt=False)


def _read_is_open(state: BreakerState, now: float) -> tuple[BreakerState, bool]:
    return state, state.phase is BreakerPhase.OPEN and now < state.until


_guards: dict[tuple[str, str, str], CallGuard] = {}
_call_places: dict[str, CallPlaces] = {}


def _get_call_places() -> CallPlaces:
    """The places that all calls of this process share."""
    return _call_places.setdefault("all", CallPlaces(settings.CHANNEL_CALLS_PER_PROCESS))


def get_guard(channel: str, account: ChannelAccount) -> CallGuard:
    key = (channel, account.environment, account.label)
    guard = _guards.get(key)
    # `setdefault`: two threads that create the first guard at the same time get the same one.
    return guard or _guards.setdefault(key, CallGuard(*key))


class GuardedDisputes:
    """`Channel.disputes` behind the guard of the account."""

    def __init__(self, port: DisputePort, guard: CallGuard) -> None:
        self._port, self._guard = port, guard

    @property
    def rules(self) -> EvidenceRules:
        return self._port.rules

    def upload_evidence(self, request: UploadEvidence) -> FileResult:
        return self._guard.call("upload_evidence", lambda: self._port.upload_evidence(request))

    def submit_evidence(self, request: SubmitEvidence) -> DisputeResult:
        return self._guard.call("submit_evidence", lambda: self._port.submit_evidence(request))

    def accept_dispute(self, request: AcceptDispute) -> DisputeResult:
        return self._guard.call("accept_dispute", lambda: self._port.accept_dispute(request))

    def find_dispute(self, dispute: DisputeRef) -> DisputeResult:
        return self._guard.call("find_dispute", lambda: self._port.find_dispute(dispute))


class GuardedChannel:
    """A channel for one of its accounts, whose guard all calls pass. Requests carry `account`.

    Queries pass it too: they change nothing, which makes them the best probes. Webhooks and listings pass no breaker:
    webhooks come in, and a listing of many pages says little about the channel's health. Whatever calls the channel, it
    holds no database connection meanwhile.
    """

    def __init__(self, channel: Channel, account: ChannelAccount) -> None:
        self.name = channel.name
        self.account = account
        self._channel = channel
        self._guard = get_guard(channel.name, account)

    @property
    def capabilities(self) -> ChannelCapabilities:
        return self._channel.capabilities

    @property
    def disputes(self) -> GuardedDisputes | None:
        port = self._channel.disputes
        return GuardedDisputes(port, self._guard) if port else None

    @property
    def is_down(self) -> bool:
        return self._guard.is_open

    @property
    def moves_real_money(self) -> bool:
        return self._channel.moves_real_money(self.account)

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        return self._guard.call("create_payment", lambda: self._channel.create_payment(request))

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return self._guard.call("find_payment", lambda: self._channel.find_payment(payment))

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        return self._guard.call("complete_payment", lambda: self._channel.complete_payment(request))

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return self._guard.call("cancel_payment", lambda: self._channel.cancel_payment(request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        return self._guard.call("capture_payment", lambda: self._channel.capture_payment(request))

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        return self._guard.call(
            "increment_authorization", lambda: self._channel.increment_authorization(request)
        )

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        return self._guard.call("refund_payment", lambda: self._channel.refund_payment(request))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        return self._guard.call("find_refund", lambda: self._channel.find_refund(refund))

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        return self._guard.call("find_refunds", lambda: self._channel.find_refunds(payment))

    def parse_webhook(self, request: WebhookRequest) -> WebhookEvent:
        """Raises `WebhookRefused` and `TooManyCalls`."""
        if self.capabilities.has_calls_in_webhooks:
            return self._guard.parse_with_calls(lambda: self._channel.parse_webhook(self.account, request))
        return self._channel.parse_webhook(self.account, request)

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return _read_without_connection(self._channel.list_payments(window))

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        """Only for channels with `statement_formats`. Raises `ListingFailed`."""
        assert isinstance(self._channel, StatementSource), f"{self.name} has no statements"
        release_connections()
        return self._channel.write_statement(request, target)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return _read_without_connection(self._channel.list_refunds(window))


def _read_without_connection(entries: Iterator[E]) -> Iterator[E]:
    """Each entry may be on a page that is still to be requested."""
    while True:
        release_connections()
        try:
            entry = next(entries)
        except StopIteration:
            return
        yield entry

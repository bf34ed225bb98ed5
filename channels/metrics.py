"""Metrics of channels.

The label `account` is the id of a channel account, or `platform` for the platform's own. The histogram has no such
label: its many series would be multiplied by the number of merchants.
"""

from prometheus_client import Counter, Gauge, Histogram

from channels.base import (
    Declined,
    DisputeResult,
    FileResult,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotProcessed,
    NotYet,
    PaymentResult,
    RefundListResult,
    RefundResult,
    Reported,
    UnknownOutcome,
)
from channels.breaker import BreakerPhase

_CHANNEL_LABELS = ["channel", "environment"]
_ACCOUNT_LABELS = [*_CHANNEL_LABELS, "account"]
_LEVELS = {
    BreakerPhase.CLOSED: 0,
    BreakerPhase.RECOVERING: 1,
    BreakerPhase.HALF_OPEN: 2,
    BreakerPhase.OPEN: 3,
}
# Alerts and dashboards use these values.
_OUTCOMES: dict[type, str] = {
    Reported: "answered",
    Declined: "declined",
    InvalidRequest: "invalidrequest",
    NotProcessed: "notsent",
    UnknownOutcome: "unknown",
    NewKeyRequired: "keyusedup",
    NotFoundAtChannel: "missing",
    NotYet: "notyet",
}

CALLS = Counter("channel_calls_total", "Calls to channels by outcome", [*_ACCOUNT_LABELS, "outcome"])
DURATION = Histogram(
    "channel_call_duration_seconds",
    "Duration of calls to channels",
    [*_CHANNEL_LABELS, "operation", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSALS = Counter(
    "channel_refusals_total",
    "Calls that were not made: the breaker is open, or too many are in flight",
    [*_ACCOUNT_LABELS, "why"],
)
CALLS_IN_FLIGHT = Gauge(
    "channel_calls_in_flight",
    "Calls to channels that hold a place: they wait for an answer",
    multiprocess_mode="livesum",
)
DISPUTES = Counter(
    "channel_disputes_total", "Disputes that began or ended, as channels reported", _CHANNEL_LABELS
)
BREAKER_CHANGES = Counter(
    "channel_breaker_changes_total", "Changes of a breaker's state", [*_ACCOUNT_LABELS, "to"]
)
BREAKER = Gauge(
    "channel_breaker_state",
    "0 closed, 1 recovering, 2 half open, 3 open",
    _ACCOUNT_LABELS,
    multiprocess_mode="mostrecent",
)


def initialize(channel: str, environment: str, account: str) -> None:
    """Exports the rare counters at zero from the start: `rate()` needs a first value."""
    DISPUTES.labels(channel, environment)
    CALLS.labels(channel, environment, account, _OUTCOMES[InvalidRequest])
    for why in ("full", "breaker_open"):
        REFUSALS.labels(channel, environment, account, why)
    for phase in BreakerPhase:
        BREAKER_CHANGES.labels(channel, environment, account, phase.value)
    BREAKER.labels(channel, environment, account)


def set_breaker_phase(channel: str, environment: str, account: str, phase: BreakerPhase) -> None:
    BREAKER.labels(channel, environment, account).set(_LEVELS[phase])


def count_call(
    channel: str,
    environment: str,
    account: str,
    operation: str,
    result: PaymentResult | RefundResult | RefundListResult | DisputeResult | FileResult,
    *,
    seconds: float,
) -> None:
    outcome = outcome_of(result)
    CALLS.labels(channel, environment, account, outcome).inc()
    DURATION.labels(channel, environment, operation, outcome).observe(seconds)


def outcome_of(result: PaymentResult | RefundResult | RefundListResult | DisputeResult | FileResult) -> str:
    """The value of the label `outcome`."""
    return _OUTCOMES[type(result)]

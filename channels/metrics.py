"""What operators see of channels. One series per channel and environment: their number does not grow with use."""

from prometheus_client import Counter, Gauge, Histogram

from channels.breaker import Phase

_LABELS = ["channel", "environment"]
_LEVELS = {Phase.CLOSED: 0, Phase.RECOVERING: 1, Phase.HALF_OPEN: 2, Phase.OPEN: 3}

CALLS = Counter("channel_calls_total", "Calls to channels by what came of them", [*_LABELS, "outcome"])
DURATION = Histogram(
    "channel_call_duration_seconds",
    "Time that calls to channels took",
    [*_LABELS, "operation", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSALS = Counter(
    "channel_refusals_total",
    "Calls that were not made: the breaker is open, or too many are in flight",
    [*_LABELS, "why"],
)
DISPUTES = Counter("channel_disputes_total", "Disputes that began or ended, as channels told", _LABELS)
BREAKER_CHANGES = Counter("channel_breaker_changes_total", "Changes of a breaker's state", [*_LABELS, "to"])
BREAKER = Gauge(
    "channel_breaker_state",
    "0 closed, 1 recovering, 2 half open, 3 open",
    _LABELS,
    multiprocess_mode="mostrecent",
)


def announce(channel: str, environment: str) -> None:
    """Shows the counters of what is rare from the start, at zero: a rate needs a first value to grow from."""
    DISPUTES.labels(channel, environment)
    CALLS.labels(channel, environment, "invalidrequest")
    for why in ("full", "breaker_open"):
        REFUSALS.labels(channel, environment, why)
    for phase in Phase:
        BREAKER_CHANGES.labels(channel, environment, phase.value)
    BREAKER.labels(channel, environment)


def breaker_is(channel: str, environment: str, phase: Phase) -> None:
    BREAKER.labels(channel, environment).set(_LEVELS[phase])


def called(channel: str, environment: str, operation: str, answer: object, *, seconds: float) -> None:
    outcome = outcome_of(answer)
    CALLS.labels(channel, environment, outcome).inc()
    DURATION.labels(channel, environment, operation, outcome).observe(seconds)


def outcome_of(answer: object) -> str:
    """The name of the answer's type: answered, declined, invalidrequest, keyusedup, missing, notsent, unknown."""
    return type(answer).__name__.lower()

"""What operators see of channels. One series per channel and environment: their number does not grow with use."""

from prometheus_client import Counter, Gauge

from gateway.channels.breaker import Phase

_LABELS = ["channel", "environment"]
_LEVELS = {Phase.CLOSED: 0, Phase.RECOVERING: 1, Phase.HALF_OPEN: 2, Phase.OPEN: 3}

CALLS = Counter("channel_calls_total", "Calls to channels by what came of them", [*_LABELS, "outcome"])
REFUSALS = Counter(
    "channel_refusals_total",
    "Calls that were not made: the breaker is open, or too many are in flight",
    [*_LABELS, "why"],
)
BREAKER_CHANGES = Counter("channel_breaker_changes_total", "Changes of a breaker's state", [*_LABELS, "to"])
BREAKER = Gauge(
    "channel_breaker_state",
    "0 closed, 1 recovering, 2 half open, 3 open",
    _LABELS,
    multiprocess_mode="mostrecent",
)


def breaker_is(channel: str, environment: str, phase: Phase) -> None:
    BREAKER.labels(channel, environment).set(_LEVELS[phase])

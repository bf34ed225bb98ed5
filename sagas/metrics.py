"""Metrics of sagas. Their names are part of the public contract and never change."""

from prometheus_client import Counter, Histogram

STARTED = Counter("saga_started_total", "Sagas started", ["definition"])
COMPLETED = Counter("saga_completed_total", "Sagas that completed every step", ["definition"])
COMPENSATED = Counter("saga_compensated_total", "Sagas that were compensated", ["definition"])
FAILED = Counter("saga_failed_total", "Sagas whose compensation failed", ["definition"])
NEEDS_REVIEW = Counter("saga_parked_total", "Sagas that stopped because they need review", ["definition"])
LEASES_LOST = Counter("saga_leases_lost_total", "Workers whose lease expired", ["definition"])
ATTEMPTS = Counter(
    "saga_step_attempts_total", "Step attempts", ["definition", "step", "direction", "outcome"]
)
DURATION = Histogram(
    "saga_duration_seconds",
    "Time from start to a terminal state",
    ["definition", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)


def create_series(definition: str) -> None:
    """Creates the series of a definition with the value 0, because `rate()` needs a first value."""
    for counter in (STARTED, COMPLETED, COMPENSATED, FAILED, NEEDS_REVIEW, LEASES_LOST):
        counter.labels(definition)
    for status in ("completed", "compensated", "failed"):
        DURATION.labels(definition, status)

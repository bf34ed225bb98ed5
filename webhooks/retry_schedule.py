"""When a failed delivery is retried."""

import random

# Seconds to wait before each attempt, the first included. Together a little over three days.
DELAYS_SECONDS = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
JITTER = 0.2


def retry_delay_seconds(attempts: int) -> float | None:
    """Returns the seconds from attempt number `attempts` to the next one, or None after the last."""
    if attempts >= len(DELAYS_SECONDS):
        return None
    return DELAYS_SECONDS[attempts] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load

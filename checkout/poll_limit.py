"""Limits how often the pages of one payment may ask for its status. Without Redis, every request passes."""

import time
import uuid
from typing import Any

from common import redis

WINDOW_SECONDS = 60
# An open page asks 30 times a minute at most: this leaves room for four of them.
MAX_POLLS = 120


def count_poll(payment_id: uuid.UUID | str) -> int:
    """Counts one request. Returns the seconds to wait, 0 when it may pass."""
    now = int(time.time())
    window = now - now % WINDOW_SECONDS
    name = f"payment-gateway:checkout-polls:{payment_id}:{window}"

    def count(client: Any) -> int:
        pipeline = client.pipeline(transaction=False)
        pipeline.incr(name)
        pipeline.expire(name, WINDOW_SECONDS * 2)
        return int(pipeline.execute()[0])

    polls = redis.attempt(count, otherwise=0)
    return window + WINDOW_SECONDS - now if polls > MAX_POLLS else 0

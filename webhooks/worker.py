"""The webhook worker: claims due deliveries and calls their endpoints. Any number of these processes can run."""

import threading
from collections.abc import Sequence

from django.conf import settings

from common.claim_loop import Claimed, ClaimLoop
from webhooks import claims, delivery, metrics
from webhooks.claims import ClaimedDelivery
from webhooks.models import DisabledReason, Lane

POLL_SECONDS = 0.2


class WebhookWorker:
    """Makes `threads` calls at a time, at most a quarter of them to endpoints in the slow lane."""

    def __init__(self, *, threads: int) -> None:
        self._places_of_lane = {Lane.FAST: threads, Lane.SLOW: max(1, threads // 4)}
        self._loop = ClaimLoop(
            name="webhooks",
            places=threads,
            claim=self._claim,
            work=delivery.attempt_delivery,
            poll_seconds=POLL_SECONDS,
        )

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then waits for the calls in flight."""
        self._loop.run(stop)

    def _claim(self, in_flight: Sequence[ClaimedDelivery], places: int) -> Claimed[ClaimedDelivery]:
        claimed: list[ClaimedDelivery] = []
        for lane, most in self._places_of_lane.items():
            free = most - sum(each.lane == lane for each in in_flight)
            claimed += claims.claim_deliveries(lane=lane, places=min(free, places - len(claimed)))
        # Each call that ends makes room for its endpoint's next delivery, so claim again then.
        return Claimed(claimed, more=True)


def run(stop: threading.Event) -> None:
    metrics.announce_disabling([DisabledReason.GONE.value, DisabledReason.FAILING.value])
    WebhookWorker(threads=settings.WEBHOOK_THREADS).run(stop)

"""A scheduler for Celery beat that survives a clock set back, and bounds the queues while no worker runs."""

import datetime as dt
from typing import Any

from celery.beat import PersistentScheduler
from django.conf import settings

from common.redis import attempt
from common.task_hints import has_room


class SteadyScheduler(PersistentScheduler):
    """After the clock is set back by an hour, Celery's own scheduler would send nothing for an hour."""

    _latest = dt.datetime.min.replace(tzinfo=dt.UTC)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Skips a full queue: each task does all due work, however late it runs. RabbitMQ bounds its queues itself."""
        queue = entry.options.get("queue", self.app.conf.task_default_queue)
        if not settings.BROKER_IS_REDIS or attempt(lambda client: has_room(client, queue), otherwise=True):
            super().apply_entry(entry, producer=producer)

    def tick(self, *args: Any, **options: Any) -> float:
        now = self.app.now()
        if now < self._latest:
            self._heap = None  # makes the base class plan again
        self._latest = now
        return super().tick(*args, **options)

    def populate_heap(self, *args: Any, **options: Any) -> None:
        now = self.app.now()
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at or now, now)
        super().populate_heap(*args, **options)

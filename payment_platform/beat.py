"""Celery's beat, for a host whose clock may be set back and for times when no worker runs."""

import datetime as dt
from typing import Any

from celery.beat import PersistentScheduler

from common.redis import attempt
from common.task_hints import has_room


class SteadyScheduler(PersistentScheduler):
    """Without this, what ran last "in an hour" would not run for an hour: no sweep, no retry, no expiry."""

    _latest = dt.datetime.min.replace(tzinfo=dt.UTC)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Adds nothing to a queue that nobody works off: each task does all that is due, however late it comes."""
        queue = entry.options.get("queue", self.app.conf.task_default_queue)
        if attempt(lambda client: has_room(client, queue), otherwise=True):
            super().apply_entry(entry, producer=producer)

    def tick(self, *args: Any, **options: Any) -> float:
        now = self.app.now()
        if now < self._latest:
            self._heap = None  # planned by another clock: planned anew
        self._latest = now
        return super().tick(*args, **options)

    def populate_heap(self, *args: Any, **options: Any) -> None:
        now = self.app.now()
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at or now, now)
        super().populate_heap(*args, **options)

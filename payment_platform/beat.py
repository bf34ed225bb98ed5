"""Celery's beat, for a host whose clock may be set back."""

import datetime as dt
from typing import Any

from celery.beat import PersistentScheduler


class SteadyScheduler(PersistentScheduler):
    """Without this, what ran last "in an hour" would not run for an hour: no sweep, no retry, no expiry."""

    _latest = dt.datetime.min.replace(tzinfo=dt.UTC)

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

"""Beijing time, which a test can stop and move."""

import threading
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))
FORMAT = "%Y-%m-%d %H:%M:%S"  # of every time in requests, answers and notices: "Common parameters", timestamp


class Clock:
    """Runs like the machine's clock from `start` (default: now), or stands still until a test moves it."""

    def __init__(self, *, start: datetime | None = None, is_stopped: bool = False) -> None:
        self._lock = threading.Lock()
        self._stopped_at: datetime | None = None
        self._offset = timedelta(0)
        if start is not None:
            self._offset = start - datetime.now(BEIJING)
        if is_stopped:
            self.stop()

    def now(self) -> datetime:
        """Returns the time in whole seconds, as Alipay writes it."""
        with self._lock:
            now = self._stopped_at or datetime.now(BEIJING) + self._offset
        return now.astimezone(BEIJING).replace(microsecond=0)

    def stop(self) -> None:
        now = self.now()
        with self._lock:
            self._stopped_at = now

    def run(self) -> None:
        now = self.now()
        with self._lock:
            self._offset = now - datetime.now(BEIJING)
            self._stopped_at = None

    def set(self, moment: datetime) -> None:
        with self._lock:
            if self._stopped_at is None:
                self._offset = moment - datetime.now(BEIJING)
            else:
                self._stopped_at = moment

    def advance(self, step: timedelta) -> None:
        self.set(self.now() + step)


def write_time(moment: datetime) -> str:
    return moment.astimezone(BEIJING).strftime(FORMAT)


def read_time(text: str) -> datetime:
    """Raises ValueError when the text is not `yyyy-MM-dd HH:mm:ss`."""
    return datetime.strptime(text, FORMAT).replace(tzinfo=BEIJING)

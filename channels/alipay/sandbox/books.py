"""One transaction on the bank's tables, at one moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from channels.alipay.sandbox.clock import Clock, write_time
from channels.alipay.sandbox.database import IN_MEMORY, BooksDatabase
from channels.alipay.sandbox.faults import Faults


@dataclass(frozen=True, slots=True)
class Books:
    connection: sqlite3.Connection
    now: datetime
    faults: Faults

    @property
    def time(self) -> str:
        return write_time(self.now)


class Bank:
    """The database, the clock and the faults of one sandbox."""

    def __init__(self, *, path: str = IN_MEMORY, clock: Clock | None = None) -> None:
        self.database = BooksDatabase(path)
        self.clock = clock or Clock()
        self.faults = Faults()

    @contextmanager
    def open_books(self) -> Iterator[Books]:
        with self.database.transaction() as connection:
            yield Books(connection, self.clock.now(), self.faults)

    def close(self) -> None:
        self.database.close()

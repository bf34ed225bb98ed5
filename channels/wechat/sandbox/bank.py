"""What belongs to one sandbox: its books, clock, keys, merchants and planned faults."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from channels.wechat.sandbox.books import Books
from channels.wechat.sandbox.clock import Clock
from channels.wechat.sandbox.faults import Faults
from channels.wechat.sandbox.merchants import PlatformKeys, SandboxMerchant

# Sends a callback and returns the HTTP status. Raises OSError, http.client.HTTPException or ValueError.
SendCallback = Callable[[str, Mapping[str, str], bytes], int]


@dataclass(slots=True)
class Bank:
    """`base_url` is the address of the server. With `has_web_links` a code_url is the http address of the payment
    page instead of weixin://wxpay/…, so that any phone or browser can open it."""

    books: Books
    platform: PlatformKeys
    merchants: dict[str, SandboxMerchant]
    send_callback: SendCallback
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    base_url: str = ""
    has_web_links: bool = False
    # Set when something may have become due, so that the scheduler looks at once.
    work_added: threading.Event = field(default_factory=threading.Event)

    def advance_clock(self, seconds: float) -> None:
        """Moves the clock, which survives a restart."""
        self.clock.advance(seconds)
        with self.books.transaction() as db:
            db.execute(
                "INSERT INTO meta (name, value) VALUES ('clock_offset', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [str(self.clock.offset_seconds)],
            )
        self.work_added.set()


def read_clock(books: Books) -> Clock:
    """The clock as the last run left it."""
    with books.transaction() as db:
        row = db.execute("SELECT value FROM meta WHERE name = 'clock_offset'").fetchone()
    return Clock(float(row["value"]) if row else 0)

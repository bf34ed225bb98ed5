"""Identifiers: time-ordered primary keys and the public numbers printed on receipts."""

import datetime as dt
import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """A time-ordered UUID (RFC 9562, version 7): new rows land at the right edge of every index."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def time_of(identifier: uuid.UUID) -> dt.datetime | None:
    """When it was made, to the millisecond. None for an id that was not made by `uuid7`."""
    if identifier.version != 7:
        return None
    return dt.datetime.fromtimestamp((identifier.int >> 80) / 1000, dt.UTC)


def public_number(prefix: str, day: dt.date) -> str:
    """`PAY-20250124-482913570164`: readable on the phone, unique, and no neighbour can be guessed from it."""
    return f"{prefix}-{day:%Y%m%d}-{secrets.randbelow(10**12):012d}"

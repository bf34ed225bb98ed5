"""Downloading a channel's settlement statements: an optional part of the port."""

import datetime as dt
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

from channels.base.accounts import ChannelAccount


@dataclass(frozen=True, slots=True)
class StatementRequest:
    """One statement of one day in the channel's time zone. `format` is one of the channel's `statement_formats`."""

    account: ChannelAccount
    format: str
    day: dt.date
    timeout_seconds: float


@runtime_checkable
class StatementSource(Protocol):
    """A channel whose capabilities name `statement_formats`."""

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        """Writes the statement as the channel made it. False: nothing happened on the day. Raises `ListingFailed`, also
        while the statement does not exist yet."""

"""The source of a channel update."""

import uuid
from dataclasses import dataclass
from typing import Self

from channels.guard import GuardedChannel


@dataclass(frozen=True, slots=True)
class UpdateSource:
    """The channel that reports an update, and the account that it reports about; None is the platform's own account.

    A source never changes a payment of another source: not even one of the same channel with another account.
    """

    channel: str
    account_id: uuid.UUID | None = None

    @classmethod
    def of(cls, channel: GuardedChannel) -> Self:
        return cls(channel.name, channel.account.id)

    def __str__(self) -> str:
        return self.channel

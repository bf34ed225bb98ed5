"""The provider behind the voucher channel. Its records are in memory: the provider is this test process."""

import datetime as dt
from dataclasses import dataclass, field

from channels.base import ChannelPayment, ChannelRefund


@dataclass
class VoucherBank:
    payments: dict[str, ChannelPayment] = field(default_factory=dict)
    # The payment's reference and the refund, by the refund's reference.
    refunds: dict[str, tuple[str, ChannelRefund]] = field(default_factory=dict)
    # The references of payments that are authorized first.
    manual: set[str] = field(default_factory=set)
    created_at: dict[str, dt.datetime] = field(default_factory=dict)
    # The part that the next write calls lose: "request" or "answer".
    losses: list[str] = field(default_factory=list)

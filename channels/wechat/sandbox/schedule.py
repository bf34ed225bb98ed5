"""Does what has become due: decides refunds, then sends callbacks."""

import threading

from channels.wechat.sandbox import callbacks, refund_decisions
from channels.wechat.sandbox.bank import Bank

# How often the scheduler looks, when nothing woke it.
_INTERVAL_SECONDS = 0.5


def run_due(bank: Bank) -> int:
    """Runs until nothing is due. Returns how many refunds were decided and callbacks sent."""
    done = 0
    while count := refund_decisions.settle_due(bank) + callbacks.deliver_due(bank):
        done += count
    return done


def run_scheduler(bank: Bank, stopped: threading.Event) -> None:
    """Runs until `stopped` is set and `bank.work_added` wakes it."""
    while not stopped.is_set():
        run_due(bank)
        bank.work_added.wait(_INTERVAL_SECONDS)
        bank.work_added.clear()

"""The faults that a test plans: what happens to calls, to callbacks and to refunds. docs/WECHAT-SANDBOX.md lists them.

Planned faults are kept in memory: a restart of the sandbox forgets them.
"""

import enum
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


class FaultKind(enum.StrEnum):
    # A call: the request is executed where the name ends in "after", and with the faults of the answer.
    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    SLOW = "slow"
    SLOW_START = "slow_start"
    SYSTEM_ERROR = "system_error"
    SYSTEM_ERROR_AFTER = "system_error_after"
    BAD_GATEWAY = "bad_gateway"
    ERROR = "error"
    BAD_SIGNATURE = "bad_signature"
    NO_SIGNATURE = "no_signature"
    PROBE_SIGNATURE = "probe_signature"
    UNKNOWN_SERIAL = "unknown_serial"
    STALE_TIMESTAMP = "stale_timestamp"
    CONTRADICTION = "contradiction"
    # A callback.
    CALLBACK_DROPPED = "callback_dropped"
    CALLBACK_DUPLICATED = "callback_duplicated"
    CALLBACK_LATE = "callback_late"
    CALLBACK_HELD = "callback_held"
    CALLBACK_FORGED = "callback_forged"
    CALLBACK_STALE = "callback_stale"
    CALLBACK_PROBED = "callback_probed"
    CALLBACK_TAMPERED = "callback_tampered"
    CALLBACK_CONTRADICTION = "callback_contradiction"
    # A refund.
    REFUND_ABNORMAL = "refund_abnormal"
    REFUND_CLOSED = "refund_closed"
    REFUND_LATE = "refund_late"

    @property
    def subject(self) -> str:
        """What the fault happens to: a `call`, a `callback` or a `refund`."""
        prefix = self.value.partition("_")[0]
        return prefix if prefix in ("callback", "refund") else "call"


@dataclass(slots=True)
class Fault:
    """A planned fault. An empty `operation`, `mchid` or `number` fits all.

    `operation` is a call (prepay, query, close, refund, query_refund, certificates, trade_bill, fund_flow_bill,
    download_bill) or the type of a callback (TRANSACTION.SUCCESS, …). `number` is an out_trade_no or out_refund_no.
    `times` counts the hits; None hits always. `fields` of a contradiction replace those of the answer, by path
    (`amount.total`). `status`, `code` and `message` are those of an `error`.
    """

    kind: FaultKind
    operation: str = ""
    mchid: str = ""
    number: str = ""
    times: int | None = 1
    seconds: float = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    status: int = 400
    code: str = "INVALID_REQUEST"
    message: str = ""

    def fits(self, operation: str, mchid: str, numbers: Collection[str]) -> bool:
        return (
            self.operation in ("", operation)
            and self.mchid in ("", mchid)
            and (not self.number or self.number in numbers)
        )


class Faults:
    """The planned faults, in the order of their planning: the first that fits happens."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def planned(self) -> list[Fault]:
        with self._lock:
            return list(self._planned)

    def take(self, subject: str, operation: str, mchid: str, numbers: Collection[str]) -> Fault | None:
        """Returns the fault that happens now, and counts it."""
        with self._lock:
            for fault in self._planned:
                if fault.kind.subject == subject and fault.fits(operation, mchid, numbers):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._planned.remove(fault)
                    return fault
        return None


def replace_fields(value: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of `value` in which the fields named by their paths are replaced."""
    changed = dict(value)
    for path, replacement in fields.items():
        name, _, rest = path.partition(".")
        if rest:
            changed[name] = replace_fields(dict(changed.get(name) or {}), {rest: replacement})
        else:
            changed[name] = replacement
    return changed

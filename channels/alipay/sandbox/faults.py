"""Faults that a test orders by the control API: what happens to a call on its way, what the bank does wrong on request.

A fault hits the next `times` calls that match its operation (and app and out_trade_no, when they are given). The names
are those of docs/SIMULATOR.md where both banks have the fault. docs/ALIPAY-SANDBOX.md repeats the tables below; a test
compares them.
"""

import enum
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace


class SandboxOperation(enum.StrEnum):
    CREATE = "create"  # alipay.trade.precreate
    QUERY = "query"  # alipay.trade.query
    CANCEL = "cancel"  # alipay.trade.close and alipay.trade.cancel
    REFUND = "refund"  # alipay.trade.refund
    QUERY_REFUND = "query_refund"  # alipay.trade.fastpay.refund.query
    BILL = "bill"  # alipay.data.dataservice.bill.downloadurl.query
    DOWNLOAD = "download"  # the bill's file
    NOTIFY = "notify"  # an asynchronous notice
    PAY = "pay"  # the customer's payment on the cashier page


class Ending(enum.StrEnum):
    """How a call that a fault hits ends."""

    TRUE_ANSWER = "true answer"
    NO_ANSWER = "no answer"
    RESET = "reset"
    SERVER_ERROR = "status 500"
    UNAVAILABLE = "20000 isp.unknow-error"
    SYSTEM_ERROR = "40004 ACQ.SYSTEM_ERROR"
    REFUSED = "refused"
    BAD_SIGNATURE = "bad signature"
    UNSIGNED = "no signature"
    GARBAGE = "garbage"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """`takes_effect`: the bank executes the call."""

    meaning: str
    takes_effect: bool
    ending: Ending
    seconds: float | None = None


NETWORK_FAULTS: Mapping[str, NetworkFault] = {
    "slow": NetworkFault("it happens, and is answered after the given seconds", True, Ending.TRUE_ANSWER, 3),
    "slow_start": NetworkFault(
        "nothing happens for the given seconds, then it does", True, Ending.TRUE_ANSWER, 3
    ),
    "timeout_before": NetworkFault("it does not happen, and no answer comes", False, Ending.NO_ANSWER, 60),
    "timeout_after": NetworkFault("it happens, and the answer is lost", True, Ending.NO_ANSWER, 60),
    "error_5xx": NetworkFault("it does not happen: status 500", False, Ending.SERVER_ERROR),
    "error_5xx_after": NetworkFault("it happens, but the answer is status 500", True, Ending.SERVER_ERROR),
    "reset": NetworkFault("it does not happen: the connection is reset", False, Ending.RESET),
    "reset_after": NetworkFault(
        "it happens, but the connection is reset before the answer", True, Ending.RESET
    ),
    "unavailable": NetworkFault("it does not happen: 20000 isp.unknow-error", False, Ending.UNAVAILABLE),
    "unavailable_after": NetworkFault(
        "it happens, but 20000 isp.unknow-error is answered", True, Ending.UNAVAILABLE
    ),
    "system_error": NetworkFault("it does not happen: 40004 ACQ.SYSTEM_ERROR", False, Ending.SYSTEM_ERROR),
    "system_error_after": NetworkFault(
        "it happens, but 40004 ACQ.SYSTEM_ERROR is answered", True, Ending.SYSTEM_ERROR
    ),
    "decline": NetworkFault(
        "it does not happen: the given code and sub_code are answered", False, Ending.REFUSED
    ),
    "bad_signature": NetworkFault(
        "it happens, and the answer's signature is wrong", True, Ending.BAD_SIGNATURE
    ),
    "no_signature": NetworkFault("it happens, and the answer has no signature", True, Ending.UNSIGNED),
    "garbage": NetworkFault("it happens, and a web page is answered", True, Ending.GARBAGE),
    "contradict": NetworkFault(
        "it happens, and the answer says what the given fields say, well signed", True, Ending.CONTRADICTED
    ),
}

# Behaviours: what the bank decides. `seconds` is the default where the behaviour takes a time.
REFUND_BEHAVIOURS: Mapping[str, tuple[str, float | None]] = {
    "refund_pending": ("fund_change is N, and the refund succeeds after the given seconds", 5),
    "refund_fails_later": ("fund_change is N, and the refund fails after the given seconds", 5),
}
NOTICE_BEHAVIOURS: Mapping[str, tuple[str, float | None]] = {
    "duplicate_webhook": ("the notice is sent twice, with the same notify_id", None),
    "late_webhook": ("the notice is sent the given seconds late", 10),
    "out_of_order_webhook": ("the notice is sent after the next notice of its trade", None),
    "no_webhook": ("the notice is never sent: only a query finds out", None),
    "forged_webhook": ("before it, the notice is sent once as another key has signed it", None),
    "tampered_webhook": (
        "before it, the notice is sent once with another total_amount than was signed",
        None,
    ),
    "contradict_webhook": ("the notice says what the given fields say, well signed", None),
}
PAY_BEHAVIOURS: Mapping[str, tuple[str, float | None]] = {
    "pay_declined": ("the customer's payment is declined on the page; the trade stays open", None),
}
ALWAYS = -1


@dataclass(frozen=True, slots=True)
class Fault:
    """`times`: how many calls it still hits; -1: all. `code`, `sub_code`, `sub_msg` are for decline, `fields` for both
    kinds of contradiction."""

    operation: str
    kind: str
    times: int = 1
    app_id: str = ""
    out_trade_no: str = ""
    seconds: float | None = None
    code: str = "40004"
    sub_code: str = "ACQ.SYSTEM_ERROR"
    sub_msg: str = ""
    fields: dict[str, object] = field(default_factory=dict)

    def matches(self, operation: str, app_id: str, out_trade_no: str) -> bool:
        return (
            self.operation == operation
            and self.app_id in ("", app_id)
            and self.out_trade_no in ("", out_trade_no)
            and self.times != 0
        )


def make_fault(**values: object) -> Fault:
    """Raises ValueError that names the field."""
    known = {entry.name for entry in fields(Fault)}
    for name in values:
        if name not in known:
            raise ValueError(f"{name}: not a field of a fault, which has {', '.join(sorted(known))}")
    for name in ("operation", "kind"):
        if not isinstance(values.get(name), str):
            raise ValueError(f"{name}: missing")
    fault = Fault(**values)  # type: ignore[arg-type]
    if fault.operation not in set(SandboxOperation):
        raise ValueError(f"operation: one of {', '.join(SandboxOperation)}")
    kinds = kinds_of(fault.operation)
    if fault.kind not in kinds:
        raise ValueError(f"kind: for {fault.operation} one of {', '.join(kinds)}")
    if not isinstance(fault.times, int) or fault.times < ALWAYS or fault.times == 0:
        raise ValueError("times: a positive number, or -1 for all calls")
    if fault.seconds is not None and not (
        isinstance(fault.seconds, (int, float)) and 0 <= fault.seconds <= 9999
    ):
        raise ValueError("seconds: 0 to 9999")
    if not isinstance(fault.fields, dict):
        raise ValueError("fields: an object")
    seconds = kinds[fault.kind] if fault.seconds is None else fault.seconds
    return replace(fault, seconds=seconds)


def kinds_of(operation: str) -> dict[str, float | None]:
    """Returns the default seconds of each kind that the operation can have."""
    if operation == SandboxOperation.NOTIFY:
        return {name: seconds for name, (_, seconds) in NOTICE_BEHAVIOURS.items()}
    if operation == SandboxOperation.PAY:
        return {name: seconds for name, (_, seconds) in PAY_BEHAVIOURS.items()}
    kinds = {name: fault.seconds for name, fault in NETWORK_FAULTS.items()}
    if operation == SandboxOperation.REFUND:
        kinds |= {name: seconds for name, (_, seconds) in REFUND_BEHAVIOURS.items()}
    return kinds


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take(self, operation: str, *, app_id: str, out_trade_no: str) -> Fault | None:
        """Returns the oldest fault that matches, and counts it."""
        with self._lock:
            for position, fault in enumerate(self._faults):
                if fault.matches(operation, app_id, out_trade_no):
                    if fault.times != ALWAYS:
                        self._faults[position] = replace(fault, times=fault.times - 1)
                    return fault
        return None

    def list(self) -> list[dict[str, object]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults if fault.times != 0]

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

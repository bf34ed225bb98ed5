"""The faults that a test can script. The tables below are the documentation: docs/SIMULATOR.md repeats them.

A script is a list of faults, in the payment's metadata under `simulate` or by the last four digits of its
amount (metadata wins):

    auto_pay, late_webhook:30            two behaviours of the bank
    timeout_before*2                     the first two calls to create the payment fail, the third works
    refund:timeout_after*always          every call to refund it succeeds and is never answered
    query:slow:5                         the first question about it is answered after five seconds

Behaviours say what the bank decides. Line faults say what happens to a call on its way: they take the
operation in front (`create` when left out) and the number of calls they hit behind (1 when left out).
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from channels.base import NotProcessed, UnknownOutcome

METADATA_KEY = "simulate"


class Operation(enum.StrEnum):
    CREATE = "create"
    QUERY = "query"
    CANCEL = "cancel"
    CAPTURE = "capture"
    REFUND = "refund"
    QUERY_REFUND = "query_refund"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`seconds` is the default of those that take a time; `amount_ends` the digits that choose it."""

    name: str
    meaning: str
    amount_ends: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """`takes_effect`: the bank does it. `answer`: what the caller sees; None is the true answer, late."""

    name: str
    meaning: str
    takes_effect: bool
    answer: UnknownOutcome | NotProcessed | None = None
    amount_ends: int | None = None
    seconds: float | None = None
    is_kept: bool = False  # repeating the key repeats the error


# What one merchant scripts for a payment of theirs must not open the breaker for everybody else.
TIMED_OUT = UnknownOutcome("timeout: no answer in time", is_channel_fault=False)
_SERVER_ERROR = UnknownOutcome("the simulator answered 500", is_channel_fault=False)
_RESET = UnknownOutcome("connection reset by peer", is_channel_fault=False)
_UNREACHABLE = NotProcessed("connection refused", is_channel_fault=False)

BEHAVIOURS = (
    Behaviour("decline", "creation is declined: card_declined", 9901),
    Behaviour("insufficient_funds", "creation is declined: insufficient_funds", 9902),
    Behaviour(
        "decline_elsewhere",
        "creation is declined: acquirer_unavailable, for reasons of its own: another channel may be tried",
        9921,
    ),
    Behaviour("auto_pay", "the customer pays at once, without the page (held when capture is manual)", 9913),
    Behaviour("authorize", "the money is held at once, without the page, and waits for a capture", 9914),
    Behaviour(
        "processing", "the customer pays, and the bank decides only after the given seconds", 9915, 5.0
    ),
    Behaviour("pay_declined", "the customer pays, and the bank declines: card_declined", 9916),
    Behaviour("duplicate_webhook", "every webhook is delivered twice, with the same event_id", 9908),
    Behaviour("late_webhook", "every webhook is sent the given seconds late", 9909, 10.0),
    Behaviour("out_of_order_webhook", "payment.processing comes 2 s after payment.paid", 9910),
    Behaviour("no_webhook", "no webhook is ever sent: only asking tells", 9917),
    Behaviour("refund_declined", "refunds are declined: refund_declined", 9911),
    Behaviour("refund_pending", "refunds stay pending for the given seconds and then succeed", 9918, 5.0),
    Behaviour("refund_fails_later", "refunds stay pending for the given seconds and then fail", 9912, 5.0),
    Behaviour("refund_returned", "refunds succeed, and fail after the given seconds", 9923, 5.0),
    Behaviour(
        "channel_refund",
        "once it is paid, all of it is refunded at the bank without the platform: pending for the given seconds",
        9922,
        5.0,
    ),
)
NETWORK_FAULTS = (
    NetworkFault("slow", "it happens, and is answered after the given seconds", True, None, 9903, 3.0),
    NetworkFault("slow_start", "nothing happens for the given seconds, then it does", False, None, None, 3.0),
    NetworkFault("timeout_before", "it does not happen, and no answer comes", False, TIMED_OUT, 9904),
    NetworkFault("timeout_after", "it happens, and the answer is lost", True, TIMED_OUT, 9919),
    NetworkFault("error_5xx", "it does not happen: status 500", False, _SERVER_ERROR, 9906),
    NetworkFault("error_5xx_after", "it happens, but the answer is status 500", True, _SERVER_ERROR),
    NetworkFault(
        "error_5xx_kept",
        "it does not happen: status 500, which the idempotency key keeps: only a new key goes through",
        False,
        _SERVER_ERROR,
        is_kept=True,
    ),
    NetworkFault("reset", "it does not happen: the connection is reset", False, _RESET, 9907),
    NetworkFault("reset_after", "it happens, but the connection is reset before the answer", True, _RESET),
    NetworkFault(
        "unreachable", "the connection is refused: it cannot have happened", False, _UNREACHABLE, 9920
    ),
)
# Names for what is asked for so often that it should not need two words.
SHORTHANDS: Mapping[str, tuple[str, int]] = {"timeout_after_charge": ("auto_pay,timeout_after", 9905)}

_BEHAVIOURS = {behaviour.name: behaviour for behaviour in BEHAVIOURS}
_NETWORK_FAULTS = {fault.name: fault for fault in NETWORK_FAULTS}
_BY_AMOUNT: Mapping[int, str] = {
    **{fault.amount_ends: fault.name for fault in (*BEHAVIOURS, *NETWORK_FAULTS) if fault.amount_ends},
    **{ends: name for name, (_, ends) in SHORTHANDS.items()},
}
_RULE = re.compile(
    r"(?:(?P<operation>create|query|cancel|capture|refund|query_refund):)?(?P<name>[a-z0-9_]+)"
    r"(?::(?P<seconds>\d{1,4}(?:\.\d{1,3})?))?(?:\*(?P<calls>[1-9]\d{0,3}|always))?",
    re.ASCII,
)


class ScriptError(Exception):
    """The text is not a script. A typo must not pass for a payment without faults."""


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """A line fault that was asked for: it hits the first `calls` calls, or all of them (None)."""

    fault: NetworkFault
    seconds: float
    calls: int | None


@dataclass(frozen=True, slots=True)
class Script:
    text: str = ""
    behaviours: Mapping[str, float] = field(default_factory=dict)
    network_faults: Mapping[Operation, ScriptedFault] = field(default_factory=dict)

    def asks_for(self, behaviour: str) -> bool:
        return behaviour in self.behaviours


NORMAL = Script()


def script_for(metadata: Mapping[str, str], amount_minor: int) -> Script:
    """What a new payment is to go through. Raises `ScriptError`."""
    text = metadata.get(METADATA_KEY, "").strip() or _BY_AMOUNT.get(amount_minor % 10_000, "")
    return parse(text) if text else NORMAL


def parse(text: str) -> Script:
    """Raises `ScriptError`."""
    behaviours: dict[str, float] = {}
    network_faults: dict[Operation, ScriptedFault] = {}
    for rule in filter(None, (part.strip() for part in text.split(","))):
        one = _rule(rule)
        if network_faults.keys() & one.network_faults.keys():
            raise ScriptError(f"'{rule}' is the second fault of one operation")
        behaviours.update(one.behaviours)
        network_faults.update(one.network_faults)
    return Script(text, behaviours, network_faults)


def _rule(rule: str) -> Script:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ScriptError(f"'{rule}' is not a fault: write [operation:]name[:seconds][*calls]")
    name = match["name"]
    if name in _BEHAVIOURS:
        return Script(rule, {name: _behaviour(match, rule)})
    if name in _NETWORK_FAULTS:
        fault = _NETWORK_FAULTS[name]
        operation = Operation(match["operation"] or Operation.CREATE)
        return Script(
            rule, {}, {operation: ScriptedFault(fault, _seconds(match, rule, fault), _calls(match))}
        )
    if name in SHORTHANDS:
        return _shorthand(match, rule)
    raise ScriptError(f"'{name}' is not a fault")


def _shorthand(match: re.Match[str], rule: str) -> Script:
    if match["operation"] or match["seconds"]:
        raise ScriptError(f"'{rule}' takes neither an operation nor seconds")
    expanded = parse(SHORTHANDS[match["name"]][0])
    network_faults = {
        operation: replace(line, calls=_calls(match)) for operation, line in expanded.network_faults.items()
    }
    return Script(rule, expanded.behaviours, network_faults)


def _behaviour(match: re.Match[str], rule: str) -> float:
    if match["operation"] or match["calls"]:
        raise ScriptError(f"'{rule}' is a behaviour of the bank: it takes no operation and no calls")
    return _seconds(match, rule, _BEHAVIOURS[match["name"]])


def _seconds(match: re.Match[str], rule: str, fault: Behaviour | NetworkFault) -> float:
    if match["seconds"] is None:
        return fault.seconds or 0.0
    if fault.seconds is None:
        raise ScriptError(f"'{rule}' takes no seconds; for more calls write {fault.name}*{match['seconds']}")
    return float(match["seconds"])


def _calls(match: re.Match[str]) -> int | None:
    return None if match["calls"] == "always" else int(match["calls"] or 1)

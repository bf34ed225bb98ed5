"""The faults that a test payment can script. docs/SIMULATOR.md repeats the tables below; a test compares them.

A script is a list of faults, in the payment's metadata under `simulate` or by the last four digits of its
amount (metadata wins):

    auto_pay, late_webhook:30            two behaviours of the bank
    timeout_before*2                     the first two calls to create the payment fail, the third works
    refund:timeout_after*always          every call to refund it succeeds and is never answered
    query:slow:5                         the first query is answered after five seconds

Behaviours say what the bank decides. Network faults say what happens to a call on its way: the operation stands in
front (default `create`), and the number of calls that are hit at the end (default 1).
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from channels.base import NotProcessed, UnknownOutcome

METADATA_KEY = "simulate"


class SimulatedOperation(enum.StrEnum):
    CREATE = "create"
    QUERY = "query"
    CANCEL = "cancel"
    CAPTURE = "capture"
    INCREMENT = "increment"
    COMPLETE = "complete"
    REFUND = "refund"
    QUERY_REFUND = "query_refund"
    UPLOAD = "upload"
    SUBMIT = "submit"
    ACCEPT = "accept"
    QUERY_DISPUTE = "query_dispute"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`seconds` is the default where the behaviour takes a time; `amount_ends` are the digits that choose it."""

    name: str
    meaning: str
    amount_ends: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """`takes_effect`: the bank executes the call. `answer`: what the caller gets; None: the true result, late."""

    name: str
    meaning: str
    takes_effect: bool
    answer: UnknownOutcome | NotProcessed | None = None
    amount_ends: int | None = None
    seconds: float | None = None
    is_error_stored: bool = False  # repeating the key repeats the error


# Not a channel fault: a merchant's script must not open the circuit breaker for other merchants.
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
    Behaviour("increment_declined", "increments of the authorization are declined: card_declined"),
    Behaviour(
        "authorization_lapses",
        "what is held is released after the given seconds; what was captured is kept",
        seconds=5.0,
    ),
    Behaviour(
        "approval_lapses",
        "what the customer has approved must be completed within the given seconds, not three hours",
        seconds=5.0,
    ),
    Behaviour(
        "processing", "the customer pays, and the bank decides only after the given seconds", 9915, 5.0
    ),
    Behaviour("pay_declined", "the customer pays, and the bank declines: card_declined", 9916),
    Behaviour("duplicate_webhook", "every webhook is delivered twice, with the same event_id", 9908),
    Behaviour("late_webhook", "every webhook is sent the given seconds late", 9909, 10.0),
    Behaviour("out_of_order_webhook", "payment.processing comes 2 s after payment.paid", 9910),
    Behaviour("no_webhook", "no webhook is ever sent: only a query finds out", 9917),
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
    Behaviour(
        "dispute",
        "once it is paid, the customer disputes all of it, which the platform learns the given seconds later",
        9924,
        5.0,
    ),
    Behaviour(
        "inquiry",
        "the same, but the customer's bank only inquires and takes no money",
        9925,
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
        is_error_stored=True,
    ),
    NetworkFault("reset", "it does not happen: the connection is reset", False, _RESET, 9907),
    NetworkFault("reset_after", "it happens, but the connection is reset before the answer", True, _RESET),
    NetworkFault(
        "unreachable", "the connection is refused: it cannot have happened", False, _UNREACHABLE, 9920
    ),
)
# Short names for frequent combinations.
SHORTHANDS: Mapping[str, tuple[str, int]] = {"timeout_after_charge": ("auto_pay,timeout_after", 9905)}

_BEHAVIOURS = {behaviour.name: behaviour for behaviour in BEHAVIOURS}
_NETWORK_FAULTS = {fault.name: fault for fault in NETWORK_FAULTS}
_BY_AMOUNT: Mapping[int, str] = {
    **{fault.amount_ends: fault.name for fault in (*BEHAVIOURS, *NETWORK_FAULTS) if fault.amount_ends},
    **{ends: name for name, (_, ends) in SHORTHANDS.items()},
}
_RULE = re.compile(
    rf"(?:(?P<operation>{'|'.join(SimulatedOperation)}):)?(?P<name>[a-z0-9_]+)"
    r"(?::(?P<seconds>\d{1,4}(?:\.\d{1,3})?))?(?:\*(?P<calls>[1-9]\d{0,3}|always))?",
    re.ASCII,
)


class ScriptError(Exception):
    """The text is not a script. It is refused, so that a typo is not mistaken for a payment without faults."""


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """A network fault of a script: it hits the first `calls` calls, or all of them (None)."""

    fault: NetworkFault
    seconds: float
    calls: int | None


@dataclass(frozen=True, slots=True)
class Script:
    text: str = ""
    behaviours: Mapping[str, float] = field(default_factory=dict)
    network_faults: Mapping[SimulatedOperation, ScriptedFault] = field(default_factory=dict)

    def asks_for(self, behaviour: str) -> bool:
        return behaviour in self.behaviours


NORMAL = Script()


def choose_script(metadata: Mapping[str, str], amount_minor: int) -> Script:
    """Returns the script of a new payment, from its metadata or its amount. Raises `ScriptError`."""
    text = metadata.get(METADATA_KEY, "").strip() or _BY_AMOUNT.get(amount_minor % 10_000, "")
    return parse_script(text) if text else NORMAL


def parse_script(text: str) -> Script:
    """Raises `ScriptError`."""
    behaviours: dict[str, float] = {}
    network_faults: dict[SimulatedOperation, ScriptedFault] = {}
    for rule in filter(None, (part.strip() for part in text.split(","))):
        parsed = _parse_rule(rule)
        if network_faults.keys() & parsed.network_faults.keys():
            raise ScriptError(f"'{rule}' is the second fault of one operation")
        behaviours.update(parsed.behaviours)
        network_faults.update(parsed.network_faults)
    return Script(text, behaviours, network_faults)


def _parse_rule(rule: str) -> Script:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ScriptError(f"'{rule}' is not a fault: write [operation:]name[:seconds][*calls]")
    name = match["name"]
    if name in _BEHAVIOURS:
        return Script(rule, {name: _parse_behaviour(match, rule)})
    if name in _NETWORK_FAULTS:
        fault = _NETWORK_FAULTS[name]
        operation = SimulatedOperation(match["operation"] or SimulatedOperation.CREATE)
        return Script(
            rule,
            {},
            {operation: ScriptedFault(fault, _parse_seconds(match, rule, fault), _parse_calls(match))},
        )
    if name in SHORTHANDS:
        return _parse_shorthand(match, rule)
    raise ScriptError(f"'{name}' is not a fault")


def _parse_shorthand(match: re.Match[str], rule: str) -> Script:
    if match["operation"] or match["seconds"]:
        raise ScriptError(f"'{rule}' takes neither an operation nor seconds")
    expanded = parse_script(SHORTHANDS[match["name"]][0])
    network_faults = {
        operation: replace(scripted, calls=_parse_calls(match))
        for operation, scripted in expanded.network_faults.items()
    }
    return Script(rule, expanded.behaviours, network_faults)


def _parse_behaviour(match: re.Match[str], rule: str) -> float:
    if match["operation"] or match["calls"]:
        raise ScriptError(f"'{rule}' is a behaviour of the bank: it takes no operation and no calls")
    return _parse_seconds(match, rule, _BEHAVIOURS[match["name"]])


def _parse_seconds(match: re.Match[str], rule: str, fault: Behaviour | NetworkFault) -> float:
    if match["seconds"] is None:
        return fault.seconds or 0.0
    if fault.seconds is None:
        raise ScriptError(f"'{rule}' takes no seconds; for more calls write {fault.name}*{match['seconds']}")
    return float(match["seconds"])


def _parse_calls(match: re.Match[str]) -> int | None:
    return None if match["calls"] == "always" else int(match["calls"] or 1)

"""The outcomes of a step: what a handler returns, and what the engine does next.

A call happened (`Success`), definitely did not (`Failure`), or may have happened (`Unknown`), which is never treated as
failure. The others are finer: they say whether, when and with which key the engine calls again.

    outcome            stored name       returned by
    Success            success           execute, query, compensate
    Failure            failure           execute, query, compensate
    Transient          transient         execute, query, compensate
    Unknown            unknown           execute, query, compensate
    NeedsReview        undecidable       execute, query, compensate
    NextCall           another           execute, query
    NoEffect           nothinghappened   execute, query
    CallNotFound       notfound          query
    AlreadySucceeded   honoured          compensate

An outcome is not what the other system answered. That is a result (`channels/base/results.py`), and one result can mean
different outcomes after a call and after a query: `gateway/flows/channel_outcomes.py` converts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Success:
    """The step happened, once. `result` is kept in `saga_steps.result` for later steps."""

    result: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The step did not happen and never will. It is not retried."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Transient:
    """The call certainly did not happen, and a retry may succeed. `spends_attempt` is False when the platform itself
    refused the call (an open circuit breaker, a shutdown).

    `extends_deadline`: the other system decides only after `retry_after_seconds`, and the saga waits for that, however
    long it takes. It then has its whole deadline again."""

    reason: str
    retry_after_seconds: float | None = None
    spends_attempt: bool = True
    extends_deadline: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The call may or may not have happened (timeout, reset, 5xx, killed process). `spends_attempt` is False when the
    call was a probe of a circuit breaker."""

    reason: str
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class NextCall:
    """This call is over for good, and the step makes another one with another key. `result` says how far the step has
    come. It is committed before the next call, like any intent."""

    result: Json


@dataclass(frozen=True, slots=True)
class CallNotFound:
    """Only a step's `query` returns it: the other system does not know the call (yet). The call is repeated with the
    same key, because an earlier one may still be on its way."""


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Only forward: the calls so far certainly had no effect and never will, and repeating their key brings nothing
    more. The next call is made at once with a new key, which is committed with its intent.

    A query returns it with `spends_attempt=False`. A call that returns it has spent one of the step's attempts."""

    reason: str
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class AlreadySucceeded:
    """Only a compensation returns it: the step turned out to have succeeded for good (the customer has paid). The saga
    goes forward again, and is never compensated."""

    result: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NeedsReview:
    """No program can decide what is right (amounts differ, contradicting answers). A person must."""

    reason: str


Outcome = (
    Success
    | Failure
    | Transient
    | Unknown
    | NextCall
    | CallNotFound
    | NoEffect
    | AlreadySucceeded
    | NeedsReview
)

# In `saga_events.outcome` and in the label of `saga_step_attempts_total`. These names are stored: they never change.
_STORED_NAMES: dict[type[Outcome], str] = {
    Success: "success",
    Failure: "failure",
    Transient: "transient",
    Unknown: "unknown",
    NextCall: "another",
    CallNotFound: "notfound",
    NoEffect: "nothinghappened",
    AlreadySucceeded: "honoured",
    NeedsReview: "undecidable",
}


def get_outcome_name(outcome: Outcome) -> str:
    return _STORED_NAMES[type(outcome)]


class StepFailed(Exception):
    """A LOCAL step or a resolution raises it to refuse: the definite failure of a step inside our own database.

    The engine turns that of a step into `sagas.steps.StepRefused`, which also names the step.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

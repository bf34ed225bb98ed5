"""The outcomes of a step. A call has three: success, definite failure and unknown, and unknown is never treated as
failure. The others tell the engine what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Success:
    """It happened, once. `result` is kept in `saga_steps.result` for later steps."""

    result: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """It did not happen and never will: not retried."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Transient:
    """It certainly did not happen; trying again may help. `spends_attempt` is False for our own refusals
    (an open circuit breaker, a shutdown)."""

    reason: str
    retry_after_seconds: float | None = None
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened (timeout, reset, 5xx, killed process). `spends_attempt` is False for a call
    that was let through to see whether the other side is back."""

    reason: str
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Another:
    """This call is over for good, and the step is not: it makes another call, under another key. `result` says how far
    the step has come; it is committed before that call, like any intent."""

    result: Json


@dataclass(frozen=True, slots=True)
class NotFound:
    """Answer of a step's `query` only: the other side does not know the call (yet). The same call is repeated with the
    same key, because an earlier one may still be on its way."""


@dataclass(frozen=True, slots=True)
class NothingHappened:
    """Forward only: the calls made so far certainly had no effect and never will, and repeating their key brings
    nothing more. The next call is made at once under a new key, which is committed with its intent.

    A query answers it with `spends_attempt` False; a call that answers it has used one of the step's attempts."""

    reason: str
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Honoured:
    """Answer of a compensation only: the step turned out to have succeeded for good (the customer paid).
    The saga goes forward again, and never back."""

    result: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undecidable:
    """No program can tell what is right (amounts differ, contradicting answers): a person must look."""

    reason: str


Outcome = (
    Success | Failure | Transient | Unknown | Another | NotFound | NothingHappened | Honoured | Undecidable
)


class StepFailed(Exception):
    """Raised by a LOCAL step that refuses: the definite failure of a step inside our own database."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

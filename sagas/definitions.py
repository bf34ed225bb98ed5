"""How a saga is written down: a named, versioned list of steps that reads from top to bottom."""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.functional import Promise

from sagas.outcomes import Failure, Json, Outcome


class Kind(enum.StrEnum):
    LOCAL = "local"
    EXTERNAL = "external"
    WAITING = "waiting"


LOCAL, EXTERNAL, WAITING = Kind.LOCAL, Kind.EXTERNAL, Kind.WAITING


class OnTimeout(enum.StrEnum):
    """What it means that a signal did not come in time: a definite failure, or nothing."""

    TURN_BACK = "turn_back"
    GO_ON = "go_on"


# The calls of a group are made at the same time, each in a thread, and all within one lease.
MAX_TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an attempt that brought no definite answer is repeated, and the bounds of the waits between."""

    max_count: int = 3
    base_seconds: float | None = None  # None: the platform's SAGA_RETRY_BASE_SECONDS
    cap_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a LOCAL step sees, and a WAITING one. It runs inside the transaction that records it."""

    saga_id: uuid.UUID
    business_id: str
    data: Json
    results: Mapping[str, Json]
    failure: Failure | None = None
    signal: Json = field(default_factory=dict)  # what a WAITING step has waited for


@dataclass(frozen=True, slots=True)
class Call:
    """What an EXTERNAL step sees. No transaction is open; `key` is the same for every repetition of one call, and
    another one after `NothingHappened`. After `Another`, `results` has the step's own result so far, and the step makes
    a key of its own from `key` and that.

    `intended_at` (database clock) is when the intent of the forward call under its present key was committed: what is
    computed from it is the same in every repetition. `forward_key` is that key, also for a compensation.
    """

    saga_id: uuid.UUID
    business_id: str
    data: Json
    results: Mapping[str, Json]
    key: str
    attempt: int
    timeout_seconds: float
    forward_key: str
    intended_at: dt.datetime


LocalHandler = Callable[[Context], Json | None]
ExternalHandler = Callable[[Call], Outcome]


@dataclass(frozen=True, slots=True)
class LocalStep:
    name: str
    execute: LocalHandler
    compensate: LocalHandler | None = None
    pivot: bool = False
    retry: Retry = field(default_factory=Retry)
    kind: Kind = LOCAL


@dataclass(frozen=True, slots=True)
class ExternalStep:
    """`query` asks the other side what became of an earlier attempt; without it the same call is repeated. With
    `asks_before_each_repetition` it also asks before a repetition of what was certainly not sent.

    `between` runs when a call answers `Another`, inside the transaction that commits the intent of the next call.
    `group` names the steps that are called at the same time; see `together`.
    """

    name: str
    execute: ExternalHandler
    compensate: ExternalHandler | None = None
    query: ExternalHandler | None = None
    asks_before_each_repetition: bool = False
    between: LocalHandler | None = None
    pivot: bool = False
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: float | None = None  # None: the platform's CHANNEL_TIMEOUT_SECONDS
    group: str = ""
    kind: Kind = EXTERNAL


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """Waits for the signal of that name, at most `timeout_seconds` and never beyond the saga's deadline. `execute`
    takes it up, inside the transaction that records the step. With `GO_ON`, what timed out counts as done with the
    result `{"timed_out": true}`."""

    name: str
    execute: LocalHandler
    signal: str
    timeout_seconds: float
    on_timeout: OnTimeout = OnTimeout.TURN_BACK
    compensate: LocalHandler | None = None
    pivot: bool = False
    retry: Retry = field(default_factory=Retry)
    kind: Kind = WAITING


@dataclass(frozen=True, slots=True)
class Resolution:
    """How staff can close a saga that could not be finished. `apply` changes the business object, inside the
    transaction that closes the saga. It may refuse with `StepFailed`."""

    name: str
    meaning: Promise
    apply: LocalHandler


StepSpec = LocalStep | ExternalStep | WaitingStep
_SPECS: dict[Kind, Callable[..., StepSpec]] = {
    LOCAL: LocalStep,
    EXTERNAL: ExternalStep,
    WAITING: WaitingStep,
}


def Step(name: str, execute: Callable[..., Any], *, kind: Kind, **options: Any) -> StepSpec:  # noqa: N802
    """One line of a definition."""
    return _SPECS[kind](name, execute, **options)


def together(*steps: StepSpec) -> tuple[StepSpec, ...]:
    """EXTERNAL steps whose intents are committed together and whose calls are made at the same time. Written
    `*together(Step(…), Step(…))`; they are undone in the reverse of the order in which they are written."""
    assert 1 < len(steps) <= MAX_TOGETHER, f"between 2 and {MAX_TOGETHER} steps can be called together"
    calls = [step for step in steps if isinstance(step, ExternalStep)]
    assert len(calls) == len(steps), "only EXTERNAL steps can be called together"
    assert not any(step.pivot for step in calls), (
        "a pivot stands alone: what failed beside it could not be undone"
    )
    return tuple(replace(step, group=steps[0].name) for step in calls)


@dataclass(frozen=True)
class Definition:
    """`pivot` is the point of no return: a step before it compensates, a step after it only goes forward. `resolutions`
    are those that staff can choose from when they close a saga; the first is the default and must decide nothing."""

    name: str
    version: int
    business_type: str
    deadline_seconds: int
    steps: tuple[StepSpec, ...]
    resolutions: tuple[Resolution, ...] = ()

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        assert self.steps, f"{self.name} has no steps"
        assert len(set(names)) == len(names), f"{self.name} names a step twice"
        assert sum(step.pivot for step in self.steps) <= 1, f"{self.name} has more than one pivot"
        for step in self.steps:
            assert not isinstance(step, WaitingStep) or 0 < step.timeout_seconds <= self.deadline_seconds, (
                f"{step.name} of {self.name} would wait beyond the deadline"
            )

    def step(self, name: str) -> StepSpec:
        return next(step for step in self.steps if step.name == name)

    def beside(self, name: str) -> frozenset[str]:
        """The steps that are called together with this one, itself among them."""
        spec = self.step(name)
        group = spec.group if isinstance(spec, ExternalStep) else ""
        if not group:
            return frozenset({name})
        return frozenset(
            step.name for step in self.steps if isinstance(step, ExternalStep) and step.group == group
        )

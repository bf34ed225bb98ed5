"""Definitions of sagas: a named, versioned list of steps that reads from top to bottom."""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import models
from django.utils.functional import Promise

from sagas.outcomes import Failure, Json, Outcome


class StepKind(enum.StrEnum):
    LOCAL = "local"
    EXTERNAL = "external"
    WAITING = "waiting"


LOCAL, EXTERNAL, WAITING = StepKind.LOCAL, StepKind.EXTERNAL, StepKind.WAITING


class OnTimeout(enum.StrEnum):
    """The end of a WAITING step whose signal does not come in time: it fails, or completes without it."""

    FAIL = "fail"
    CONTINUE = "continue"


# The calls of a group are made at the same time, each in a thread, and all within one lease.
MAX_PARALLEL_CALLS = 8


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of retries after an attempt without a definite answer, and the bounds of the pauses."""

    max_retries: int = 3
    base_seconds: float | None = None  # None: the platform's SAGA_RETRY_BASE_SECONDS
    cap_seconds: float | None = None  # None: the platform's SAGA_RETRY_CAP_SECONDS


@dataclass(frozen=True, slots=True)
class RowsOfStart:
    """For a saga that starts with one statement, outside a transaction: its first LOCAL step reads and writes nothing,
    but adds its `rows`, which are inserted together with the saga. A row that exists already fails the whole statement.
    `now` is a time by the database's clock, of the same request."""

    now: dt.datetime
    rows: list[models.Model]


@dataclass(frozen=True, slots=True)
class Context:
    """The argument of LOCAL and WAITING steps, which run inside the transaction that records them."""

    saga_id: uuid.UUID
    business_id: str
    data: Json
    results: Mapping[str, Json]
    failure: Failure | None = None  # while compensating: the failure that caused it
    signal: Json = field(default_factory=dict)  # the payload that a WAITING step waited for
    # For `on_release` in the same transaction: objects as the step has just written them. Never stored.
    written_objects: dict[str, Any] = field(default_factory=dict)
    rows_of_start: RowsOfStart | None = None  # None: inside a transaction


@dataclass(frozen=True, slots=True)
class Call:
    """The argument of EXTERNAL steps. No transaction is open.

    `key` is the same for every repetition of one call, and a new one after `NoEffect`. After `NextCall`, `results` has
    the step's own result so far, and the step derives a key of its own from `key` and that result.

    `intended_at` (database clock) is when the intent of the forward call with its present key was committed: values
    computed from it are the same in every repetition. `forward_key` is that key, also in a compensation.
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
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    kind: StepKind = LOCAL


@dataclass(frozen=True, slots=True)
class ExternalStep:
    """A step that calls another system.

    - `query` queries the other system for the outcome of an earlier call. Without it, the same call is repeated.
    - `queries_before_each_repetition`: query also before a repetition of a call that was certainly not sent.
    - `before_next_call` runs when a call returns `NextCall`, inside the transaction that commits the next intent.
    - `group` is the same for steps that are called at the same time; see `parallel`.
    """

    name: str
    execute: ExternalHandler
    compensate: ExternalHandler | None = None
    query: ExternalHandler | None = None
    queries_before_each_repetition: bool = False
    before_next_call: LocalHandler | None = None
    pivot: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: float | None = None  # None: the platform's CHANNEL_TIMEOUT_SECONDS
    group: str = ""
    kind: StepKind = EXTERNAL


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step that waits for the signal of that name, at most `timeout_seconds` and never beyond the saga's deadline.

    `execute` receives it, inside the transaction that records the step. With `CONTINUE`, a step that timed out is
    completed with the result `{"timed_out": true}`.
    """

    name: str
    execute: LocalHandler
    signal: str
    timeout_seconds: float
    on_timeout: OnTimeout = OnTimeout.FAIL
    compensate: LocalHandler | None = None
    pivot: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    kind: StepKind = WAITING


@dataclass(frozen=True, slots=True)
class Resolution:
    """A way for staff to close a saga that could not be finished. `apply` changes the business object, inside the
    transaction that closes the saga. It may refuse with `StepFailed`."""

    name: str
    meaning: Promise
    apply: LocalHandler


StepSpec = LocalStep | ExternalStep | WaitingStep
_SPECS: dict[StepKind, Callable[..., StepSpec]] = {
    LOCAL: LocalStep,
    EXTERNAL: ExternalStep,
    WAITING: WaitingStep,
}


def Step(name: str, execute: Callable[..., Any], *, kind: StepKind, **options: Any) -> StepSpec:  # noqa: N802
    """Makes one step of a definition."""
    return _SPECS[kind](name, execute, **options)


def parallel(*steps: StepSpec) -> tuple[StepSpec, ...]:
    """Groups EXTERNAL steps: their intents are committed together, and their calls are made at the same time.

    Written `*parallel(Step(…), Step(…))`. They are compensated in reverse order.
    """
    assert 1 < len(steps) <= MAX_PARALLEL_CALLS, (
        f"between 2 and {MAX_PARALLEL_CALLS} steps can be called in parallel"
    )
    calls = [step for step in steps if isinstance(step, ExternalStep)]
    assert len(calls) == len(steps), "only EXTERNAL steps can be called in parallel"
    assert not any(step.pivot for step in calls), (
        "a pivot stands alone: a step that failed beside it could not be compensated"
    )
    return tuple(replace(step, group=steps[0].name) for step in calls)


@dataclass(frozen=True)
class Definition:
    """A saga that fails before its `pivot` is compensated; after it, the saga can only go forward.

    Staff choose one of the `resolutions` when they close a saga. The first is the default and must decide nothing.
    """

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

    def get_step(self, name: str) -> StepSpec:
        return next(step for step in self.steps if step.name == name)

    def get_group(self, name: str) -> frozenset[str]:
        """The names of the steps that are called together with this one, itself among them."""
        spec = self.get_step(name)
        group = spec.group if isinstance(spec, ExternalStep) else ""
        if not group:
            return frozenset({name})
        return frozenset(
            step.name for step in self.steps if isinstance(step, ExternalStep) and step.group == group
        )

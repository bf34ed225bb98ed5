"""How a saga is written down: a named, versioned list of steps that reads from top to bottom."""

import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagas.outcomes import Failure, Json, Outcome


class Kind(enum.StrEnum):
    LOCAL = "local"
    EXTERNAL = "external"


LOCAL, EXTERNAL = Kind.LOCAL, Kind.EXTERNAL


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an attempt that brought no definite answer is repeated, and the bounds of the waits between."""

    max_count: int = 3
    base_seconds: float | None = None  # None: the platform's SAGA_RETRY_BASE_SECONDS
    cap_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a LOCAL step sees. It runs inside the transaction that records it."""

    saga_id: uuid.UUID
    business_id: str
    data: Json
    results: Mapping[str, Json]
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What an EXTERNAL step sees. No transaction is open; `key` is the same for every repetition. After `Another`,
    `results` has the step's own result so far, and the step makes a key of its own from `key` and that."""

    saga_id: uuid.UUID
    business_id: str
    data: Json
    results: Mapping[str, Json]
    key: str
    attempt: int
    timeout_seconds: float


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
    """`query` asks the other side what became of an earlier attempt; without it the same call is repeated.

    `between` runs when a call answers `Another`, inside the transaction that commits the intent of the next call.
    """

    name: str
    execute: ExternalHandler
    compensate: ExternalHandler | None = None
    query: ExternalHandler | None = None
    between: LocalHandler | None = None
    pivot: bool = False
    retry: Retry = field(default_factory=Retry)
    timeout_seconds: float | None = None  # None: the platform's CHANNEL_TIMEOUT_SECONDS
    kind: Kind = EXTERNAL


StepSpec = LocalStep | ExternalStep


def Step(name: str, execute: Callable[..., Any], *, kind: Kind, **options: Any) -> StepSpec:  # noqa: N802
    """One line of a definition."""
    return LocalStep(name, execute, **options) if kind is LOCAL else ExternalStep(name, execute, **options)


@dataclass(frozen=True)
class Definition:
    """`pivot` is the point of no return: a step before it compensates, a step after it only goes forward."""

    name: str
    version: int
    business_type: str
    deadline_seconds: int
    steps: tuple[StepSpec, ...]

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        assert self.steps, f"{self.name} has no steps"
        assert len(set(names)) == len(names), f"{self.name} names a step twice"
        assert sum(step.pivot for step in self.steps) <= 1, f"{self.name} has more than one pivot"

    def step(self, name: str) -> StepSpec:
        return next(step for step in self.steps if step.name == name)

"""Sagas in memory, for tests of the rules without a database."""

import uuid
from typing import Any

from sagas.definitions import EXTERNAL, LOCAL, WAITING, Definition, RetryPolicy, Step, StepSpec
from sagas.models import StepStatus
from sagas.state import SagaState, StepState, create_state


def undo(_context: object) -> None:
    return None


def local(name: str, **options: Any) -> StepSpec:
    return Step(name, lambda _context: None, kind=LOCAL, **{"compensate": undo, **options})


def call(name: str, **options: Any) -> StepSpec:
    retry = options.pop("retry", RetryPolicy(max_retries=2, base_seconds=1.0, cap_seconds=100.0))
    return Step(name, lambda _call: None, kind=EXTERNAL, retry=retry, **{"compensate": undo, **options})


def wait(name: str, **options: Any) -> StepSpec:
    return Step(
        name,
        lambda _context: None,
        kind=WAITING,
        **{"signal": f"{name}.done", "timeout_seconds": 7.0, "compensate": undo, **options},
    )


def saga_of(*steps: StepSpec, deadline_seconds: int = 60) -> SagaState:
    definition = Definition("rules", 1, "payment", deadline_seconds, steps)
    return create_state(definition, saga_id=uuid.uuid4(), business_id="PAY-1", data={})


def complete(*steps: StepState) -> None:
    for step in steps:
        step.status = StepStatus.COMPLETED

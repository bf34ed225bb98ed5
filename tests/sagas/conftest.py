import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from django.db import connection, transaction

from sagas import registry
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, RetryPolicy, Step, StepSpec
from sagas.models import SagaInstance
from sagas.outcomes import Outcome, Success, Transient, Unknown
from sagas.start import start_saga
from sagas.state import SagaState
from tests.support.sagas import run_due


@dataclass
class FakeSteps:
    """The steps of the test definitions: they return scripted outcomes and record their executions."""

    executed: list[str] = field(default_factory=list)
    script: dict[str, list[Outcome | BaseException | Callable[[], Outcome]]] = field(default_factory=dict)

    def answers(self, name: str, *outcomes: Outcome | BaseException | Callable[[], Outcome]) -> None:
        """Scripts the next outcomes of a step, of its `name:query` or of its `name:undo`; after them, success."""
        self.script.setdefault(name, []).extend(outcomes)

    def act(self, name: str) -> Outcome:
        assert not connection.in_atomic_block or name.startswith("local"), f"{name} ran inside a transaction"
        self.executed.append(name)
        waiting = self.script.get(name)
        answer = waiting.pop(0) if waiting else Success({"by": name})
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def local(self, name: str) -> Callable[[Context], dict[str, str]]:
        def run(_context: Context) -> dict[str, str]:
            assert connection.in_atomic_block
            self.act(name)
            return {"by": name}

        return run

    def external(self, name: str) -> Callable[[Call], Outcome]:
        return lambda _call: self.act(name)


@pytest.fixture
def fake_steps() -> FakeSteps:
    return FakeSteps()


@pytest.fixture
def define(fake_steps: FakeSteps) -> Iterator[Callable[..., Definition]]:
    """Registers a definition of two local and two external steps; `pivot` names the pivot."""
    registered = []

    def _define(
        *, pivot: str = "", deadline_seconds: int = 600, max_retries: int = 3, version: int = 1
    ) -> Definition:
        retry = RetryPolicy(max_retries=max_retries, base_seconds=0.0)
        definition = Definition(
            name=f"test.{uuid.uuid4().hex}",
            version=version,
            business_type="test",
            deadline_seconds=deadline_seconds,
            steps=(
                Step(
                    "local1",
                    fake_steps.local("local1"),
                    kind=LOCAL,
                    compensate=fake_steps.local("local1:undo"),
                ),
                Step(
                    "call2",
                    fake_steps.external("call2"),
                    kind=EXTERNAL,
                    query=fake_steps.external("call2:query"),
                    compensate=fake_steps.external("call2:undo"),
                    retry=retry,
                    pivot=pivot == "call2",
                ),
                Step(
                    "local3",
                    fake_steps.local("local3"),
                    kind=LOCAL,
                    compensate=fake_steps.local("local3:undo"),
                ),
                Step(
                    "call4",
                    fake_steps.external("call4"),
                    kind=EXTERNAL,
                    compensate=fake_steps.external("call4:undo"),
                    retry=retry,
                    pivot=pivot == "call4",
                ),
            ),
        )
        registered.append(definition)
        return registry.register(definition)

    yield _define
    for definition in registered:
        registry._definitions.pop((definition.name, definition.version), None)


@pytest.fixture
def define_steps() -> Iterator[Callable[..., Definition]]:
    """Registers a definition of these steps."""
    registered = []

    def _define(*steps: StepSpec, deadline_seconds: int = 600) -> Definition:
        name = f"test.{uuid.uuid4().hex}"
        definition = Definition(name, 1, "test", deadline_seconds, steps)
        registered.append(definition)
        return registry.register(definition)

    yield _define
    for definition in registered:
        registry._definitions.pop((definition.name, definition.version), None)


@pytest.fixture
def begin() -> Callable[..., SagaState]:
    def _begin(definition: Definition, *, leased: bool = True) -> SagaState:
        saga_id = uuid.uuid4()
        with transaction.atomic():
            return start_saga(
                definition,
                saga_id=saga_id,
                business_id=f"B-{saga_id}",
                data={"n": 1},
                leased=leased,
            )

    return _begin


def reload(saga: SagaState) -> SagaInstance:
    return SagaInstance.objects.get(id=saga.id)


def expire_lease(saga_id: uuid.UUID) -> None:
    """Makes the lease expire now, as if the worker had crashed some time ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE saga_instances SET lease_expires_at = now() WHERE id = %s", [saga_id])


__all__ = ["FakeSteps", "Transient", "Unknown", "expire_lease", "reload", "run_due"]

"""A saga of everything that no flow of a merchant has yet: calls made together, and a step that waits for a signal.

Included by the Celery workers of the process tests. `journey_effects` is the book of what happened: its rows are
written by the steps, each call's by an other side that knows repetitions by their key, as a bank does.

    Note (local), Hotel and Train (together), Hear (waits for "news"), Close (a call that may be refused)
"""

import uuid

from celery import shared_task
from django.db import connection, transaction

from common import crash
from sagas import registry, signals
from sagas.definitions import EXTERNAL, LOCAL, WAITING, Call, Context, Definition, OnTimeout, Step, parallel
from sagas.outcomes import CallNotFound, Failure, Json, Outcome, Success
from sagas.start import start_saga

NEWS = "news"
BOOK = (
    "CREATE TABLE IF NOT EXISTS journey_effects"
    " (saga_id uuid NOT NULL, step text NOT NULL, direction text NOT NULL, key text UNIQUE)"
)
_WRITE = "INSERT INTO journey_effects VALUES (%s, %s, %s, %s) ON CONFLICT (key) DO NOTHING"
# Longer than any test: what ends a wait is a signal, or a test that lets the time pass.
_SECONDS = 600


def _write(saga_id: uuid.UUID, step: str, direction: str, key: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [saga_id, step, direction, key])


def _local(step: str, direction: str = "forward"):  # type: ignore[no-untyped-def]
    def run(context: Context) -> Json:
        _write(context.saga_id, step, direction, None)
        return {}

    return run


def _call(step: str, direction: str = "forward"):  # type: ignore[no-untyped-def]
    def call(call: Call) -> Outcome:
        if step == call.data.get("refused"):
            return Failure("refused", "sold out")
        _write(call.saga_id, step, direction, call.key)
        return Success()

    return call


def _ask(call: Call) -> Outcome:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM journey_effects WHERE key = %s", [call.key])
        return Success() if cursor.fetchone() else CallNotFound()


def _journey(name: str, on_timeout: OnTimeout) -> Definition:
    return Definition(
        name=name,
        version=1,
        business_type="test",
        deadline_seconds=_SECONDS,
        steps=(
            Step("Note", _local("Note"), kind=LOCAL, compensate=_local("Note", "compensating")),
            *parallel(
                Step("Hotel", _call("Hotel"), kind=EXTERNAL, compensate=_call("Hotel", "compensating")),
                Step(
                    "Train",
                    _call("Train"),
                    kind=EXTERNAL,
                    query=_ask,
                    compensate=_call("Train", "compensating"),
                ),
            ),
            Step(
                "Hear",
                _local("Hear"),
                kind=WAITING,
                signal=NEWS,
                timeout_seconds=_SECONDS,
                on_timeout=on_timeout,
                compensate=_local("Hear", "compensating"),
            ),
            Step("Close", _call("Close"), kind=EXTERNAL, compensate=_call("Close", "compensating")),
        ),
    )


TURNS_BACK = registry.register(_journey("test.turns_back", OnTimeout.FAIL)).name
GOES_ON = registry.register(_journey("test.goes_on", OnTimeout.CONTINUE)).name


def _get_definition(name: str) -> Definition:
    definition = registry.find_definition(name, 1)
    assert definition is not None
    return definition


@shared_task(name="journey.begin")
def begin(name: str, saga_id: str, refused: str = "") -> None:
    with transaction.atomic():
        start_saga(
            _get_definition(name),
            saga_id=uuid.UUID(saga_id),
            business_id=f"J-{saga_id}",
            data={"refused": refused},
            leased=False,
        )


@shared_task(name="journey.tell")
def tell(saga_id: str) -> None:
    identifier = uuid.UUID(saga_id)
    with transaction.atomic():
        signals.deliver_signal(saga_id=identifier, name=NEWS, signal_id="evt_1")
        crash.reach("journey.tell.before_commit", saga_id=identifier)
    crash.reach("journey.tell.after_commit", saga_id=identifier)

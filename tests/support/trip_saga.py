"""A saga with the kinds of steps that no flow of the platform has: parallel calls, and a step that waits for a signal.

    ReserveSeats (local), BookHotel and BookTrain (parallel), WaitForConfirmation (waiting), PayAgency (a call)

The Celery workers of the process tests include it. Each step writes a row to `trip_effects`. A call writes its row
under its key, and only once, as a channel does.
"""

import uuid

from celery import shared_task
from django.db import connection, transaction

from common import crash
from sagas import registry, signals
from sagas.definitions import EXTERNAL, LOCAL, WAITING, Call, Context, Definition, OnTimeout, Step, parallel
from sagas.outcomes import CallNotFound, Failure, Json, Outcome, Success
from sagas.start import start_saga

CONFIRMATION = "confirmation"
EFFECTS_TABLE = (
    "CREATE TABLE IF NOT EXISTS trip_effects"
    " (saga_id uuid NOT NULL, step text NOT NULL, direction text NOT NULL, key text UNIQUE)"
)
_WRITE = "INSERT INTO trip_effects VALUES (%s, %s, %s, %s) ON CONFLICT (key) DO NOTHING"
# Longer than any test: a wait ends by a signal, or by a test that changes its end.
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
        if step == call.data.get("refused_step"):
            return Failure("refused", "sold out")
        _write(call.saga_id, step, direction, call.key)
        return Success()

    return call


def _query(call: Call) -> Outcome:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM trip_effects WHERE key = %s", [call.key])
        return Success() if cursor.fetchone() else CallNotFound()


def _define(name: str, on_timeout: OnTimeout) -> Definition:
    def undo(step: str):  # type: ignore[no-untyped-def]
        return _call(step, "compensating")

    return Definition(
        name=name,
        version=1,
        business_type="test",
        deadline_seconds=_SECONDS,
        steps=(
            Step(
                "ReserveSeats",
                _local("ReserveSeats"),
                kind=LOCAL,
                compensate=_local("ReserveSeats", "compensating"),
            ),
            *parallel(
                Step("BookHotel", _call("BookHotel"), kind=EXTERNAL, compensate=undo("BookHotel")),
                Step(
                    "BookTrain",
                    _call("BookTrain"),
                    kind=EXTERNAL,
                    query=_query,
                    compensate=undo("BookTrain"),
                ),
            ),
            Step(
                "WaitForConfirmation",
                _local("WaitForConfirmation"),
                kind=WAITING,
                signal=CONFIRMATION,
                timeout_seconds=_SECONDS,
                on_timeout=on_timeout,
                compensate=_local("WaitForConfirmation", "compensating"),
            ),
            Step("PayAgency", _call("PayAgency"), kind=EXTERNAL, compensate=undo("PayAgency")),
        ),
    )


FAILS_ON_TIMEOUT = registry.register(_define("test.trip_fails_on_timeout", OnTimeout.FAIL)).name
CONTINUES_ON_TIMEOUT = registry.register(_define("test.trip_continues_on_timeout", OnTimeout.CONTINUE)).name


def _get_definition(name: str) -> Definition:
    definition = registry.find_definition(name, 1)
    assert definition is not None
    return definition


@shared_task(name="trip.start")
def start(name: str, saga_id: str, refused_step: str = "") -> None:
    with transaction.atomic():
        start_saga(
            _get_definition(name),
            saga_id=uuid.UUID(saga_id),
            business_id=f"T-{saga_id}",
            data={"refused_step": refused_step},
            leased=False,
        )


@shared_task(name="trip.confirm")
def confirm(saga_id: str) -> None:
    identifier = uuid.UUID(saga_id)
    with transaction.atomic():
        signals.deliver_signal(saga_id=identifier, name=CONFIRMATION, signal_id="evt_1")
        crash.reach("trip.confirm.before_commit", saga_id=identifier)
    crash.reach("trip.confirm.after_commit", saga_id=identifier)

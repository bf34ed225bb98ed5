"""The simulated network between the platform and the bank: calls and answers are late or lost, as scripted."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, connections
from psycopg.errors import UniqueViolation

from channels.base import Declined, NewKeyRequired, NotProcessed, UnknownOutcome
from channels.simulator.faults import TIMED_OUT, Script, ScriptedFault, SimulatedOperation
from channels.simulator.models import CallCount
from channels.simulator.router import ALIAS
from common.database_errors import classify_database_error

R = TypeVar("R")

_COUNT_CALL = """
    INSERT INTO simulator_calls (operation, key, calls) VALUES (%s, %s, 1)
    ON CONFLICT (operation, key) DO UPDATE SET calls = simulator_calls.calls + 1
    RETURNING calls
"""


def send_call(
    script: Script,
    operation: SimulatedOperation,
    reference: str,
    key: str,
    timeout_seconds: float,
    execute: Callable[[], R],
) -> R | Declined | NewKeyRequired | NotProcessed | UnknownOutcome:
    """Sends a call to the bank and applies the network fault that the script has for it.

    `reference` is the payment or refund that the call is about: its calls are counted, whatever their keys. A lost
    answer is returned at once; only the slow faults wait. The bank keeps its own connection no longer than it works.
    """
    try:
        return _send(script, operation, reference, key, timeout_seconds, execute)
    finally:
        _release_connection()


def _send(
    script: Script,
    operation: SimulatedOperation,
    reference: str,
    key: str,
    timeout_seconds: float,
    execute: Callable[[], R],
) -> R | Declined | NewKeyRequired | NotProcessed | UnknownOutcome:
    scripted = script.network_faults.get(operation)
    if scripted is None:
        return _execute(execute)
    fault = scripted.fault
    if fault.is_error_stored and key and _has_stored_error(operation, key):
        return NewKeyRequired("the simulator keeps the answer 500 under this key")
    if not _applies_to_this_call(scripted, operation, reference):
        return _execute(execute)
    if fault.is_error_stored and key:
        _count(f"{operation}:kept", key)
    result = _execute(execute) if fault.takes_effect else None
    if fault.answer is not None:
        return fault.answer
    _release_connection()
    time.sleep(min(scripted.seconds, timeout_seconds))
    if scripted.seconds >= timeout_seconds:
        return TIMED_OUT
    return _execute(execute) if result is None else result


def _release_connection() -> None:
    if not connections[ALIAS].in_atomic_block:
        connections[ALIAS].close()


def _applies_to_this_call(scripted: ScriptedFault, operation: SimulatedOperation, reference: str) -> bool:
    return scripted.calls is None or _count(operation, reference) <= scripted.calls


def _count(operation: str, counted_key: str) -> int:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_COUNT_CALL, [operation, counted_key])
        (calls,) = cursor.fetchone()
    return int(calls)


def _has_stored_error(operation: SimulatedOperation, key: str) -> bool:
    return CallCount.objects.filter(operation=f"{operation}:kept", key=key).exists()


def _execute(execute: Callable[[], R]) -> R | Declined | UnknownOutcome:
    try:
        return execute()
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise  # the ledger would be wrong: a defect of the simulator, not an answer
        # The ledger has one entry for each key.
        return Declined("idempotency_mismatch", "This key was used for something else.")
    except (DatabaseError, InterfaceError) as error:
        if classify_database_error(error) is None:
            raise
        # The connection may have broken during the commit, so the bank may have done it. This is no channel fault: the
        # ledger is in our own database.
        return UnknownOutcome(
            f"the simulator's ledger could not be reached: {type(error).__name__}", is_channel_fault=False
        )

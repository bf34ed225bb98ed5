"""The line between the platform and the bank, where calls get slow, lost or answered into the void."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, connections
from psycopg.errors import UniqueViolation

from channels.base import Declined, NewKeyRequired, NotProcessed, UnknownOutcome
from channels.simulator.faults import TIMED_OUT, Operation, Script, ScriptedFault
from channels.simulator.models import CallCount
from channels.simulator.router import ALIAS
from common.database_errors import trouble_of

A = TypeVar("A")

_COUNT_CALL = """
    INSERT INTO simulator_calls (operation, key, calls) VALUES (%s, %s, 1)
    ON CONFLICT (operation, key) DO UPDATE SET calls = simulator_calls.calls + 1
    RETURNING calls
"""


def transmit(
    script: Script,
    operation: Operation,
    reference: str,
    key: str,
    timeout_seconds: float,
    act: Callable[[], A],
) -> A | Declined | NewKeyRequired | NotProcessed | UnknownOutcome:
    """Hands the call to the bank as the script wants it. A lost answer is reported without waiting.

    `reference` is what the operation is about, a payment or a refund: its calls are counted, under whatever key.
    """
    line = script.network_faults.get(operation)
    if line is None:
        return _ask(act)
    fault = line.fault
    if fault.is_kept and key and _is_kept(operation, key):
        return NewKeyRequired("the simulator keeps the answer 500 under this key")
    if not _hits(line, operation, reference):
        return _ask(act)
    if fault.is_kept and key:
        _count(f"{operation}:kept", key)
    answer = _ask(act) if fault.takes_effect else None
    if fault.answer is not None:
        return fault.answer
    time.sleep(min(line.seconds, timeout_seconds))
    if line.seconds >= timeout_seconds:
        return TIMED_OUT
    return _ask(act) if answer is None else answer


def _hits(line: ScriptedFault, operation: Operation, reference: str) -> bool:
    return line.calls is None or _count(operation, reference) <= line.calls


def _count(operation: str, about: str) -> int:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_COUNT_CALL, [operation, about])
        (calls,) = cursor.fetchone()
    return int(calls)


def _is_kept(operation: Operation, key: str) -> bool:
    return CallCount.objects.filter(operation=f"{operation}:kept", key=key).exists()


def _ask(act: Callable[[], A]) -> A | Declined | UnknownOutcome:
    try:
        return act()
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise  # the books would not add up: a defect of the simulator, not an answer
        # The ledger has one entry per key: somebody used a key for a second purpose.
        return Declined("idempotency_mismatch", "This key was used for something else.")
    except (DatabaseError, InterfaceError) as error:
        if trouble_of(error) is None:
            raise
        # Also when the connection broke during the commit: the bank may have done it.
        # No channel fault: the books are in our own database, whose outage nobody needs to be spared.
        return UnknownOutcome(
            f"the simulator's books could not be reached: {type(error).__name__}", is_channel_fault=False
        )

"""The input of a step, as `saga_steps.execute_data` keeps it: redacted and bounded, for people who look into a saga.

The engine never reads it. Steps get their input from `saga_instances.metadata` and the results of earlier steps.
"""

import json

from common.redaction import STEP_INPUTS, redact
from sagas.outcomes import Json
from sagas.state import SagaState

MAX_BYTES = 8_192


def build_step_input(saga: SagaState, *, key: str = "", signal: Json | None = None) -> Json:
    """The saga's data, the results of earlier steps, and the call's idempotency key or the signal's payload.

    Where that is more than `MAX_BYTES`, only the names of the fields are kept.
    """
    if saga.redacted_data is None:
        saga.redacted_data = redact(saga.data, STEP_INPUTS)
    given = {"data": saga.redacted_data, "results": redact(saga.results, STEP_INPUTS)}
    if signal is not None:
        given["signal"] = redact(signal, STEP_INPUTS)
    own = {"key": key} if key else {}
    size_bytes = len(json.dumps(given, ensure_ascii=False).encode())
    if size_bytes <= MAX_BYTES:
        return {**given, **own}
    names = {part: sorted(fields)[: STEP_INPUTS.max_items] for part, fields in given.items()}
    return {**names, **own, "truncated": True, "size_bytes": size_bytes}

"""Starts the sagas of payments and refunds: import-linter lets no other module call `sagas.start`."""

import uuid

from gateway.flows.data import FlowData
from sagas.definitions import Definition, RowsOfStart
from sagas.start import start_saga
from sagas.state import SagaState


def start_flow(
    definition: Definition,
    *,
    saga_id: uuid.UUID,
    business_id: str,
    data: FlowData,
    environment: str,
    merchant_id: uuid.UUID,
    leased: bool = True,
    deadline_seconds: float | None = None,
    rows_of_start: RowsOfStart | None = None,
) -> SagaState:
    """Starts a saga in the caller's transaction, or with one statement; `start_saga` has the details.

    Test and live have task queues of their own, and within each the merchants take turns.
    """
    return start_saga(
        definition,
        saga_id=saga_id,
        business_id=business_id,
        data=data.as_json(),
        leased=leased,
        deadline_seconds=deadline_seconds,
        task_queue=environment,
        fairness_key=str(merchant_id),
        rows_of_start=rows_of_start,
    )

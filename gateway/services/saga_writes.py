"""Idempotent writes that run as a saga: the answer is recorded in the transaction that releases the saga.

The saga's id is the `resource_id` of the idempotency key: after a crash, a repeated request resumes the same saga.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from common.api.envelope import Answer
from idempotency.services.claim import COMPLETE, Claim
from idempotency.services.finish_claim import finish_claim
from sagas import engine, selectors
from sagas.models import SagaStatus
from sagas.outcomes import Failure
from sagas.state import SagaState, UpdateWithRelease

ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class SagaResult:
    """`failure` is the reason of a compensation. `status` is None when no saga has the id: the request was passed to a
    saga that ran already. `written_objects` has what the saga's steps wrote in the transaction of the answer."""

    saga_id: uuid.UUID
    status: SagaStatus | None
    failure: Failure | None
    written_objects: Mapping[str, Any] = field(default_factory=dict)


# Builds the answer to a request. 202 means that the outcome is not known yet, and is never final.
BuildAnswer = Callable[[SagaResult], Answer]


def run_claimed_saga(claim: Claim[SagaState | None], *, build_answer: BuildAnswer) -> Answer:
    """Runs the claim's saga until it ends or has to wait: the channel is called, and outcome and answer are committed
    together."""

    def run_saga(claim: Claim[SagaState | None]) -> Answer:
        def record_answer(saga: SagaState) -> None:
            result = SagaResult(claim.resource_id, saga.status, saga.failure, saga.written_objects)
            saga.update_with_release = _build_completion(claim, build_answer(result))

        if claim.started is not None:
            engine.advance_saga(claim.started, on_release=record_answer)
        else:
            engine.resume_saga(claim.resource_id, on_release=record_answer)
        return claim.answer or _build_answer_from_database(claim, build_answer)

    return finish_claim(claim, work=run_saga)


def _build_answer_from_database(claim: Claim[SagaState | None], build_answer: BuildAnswer) -> Answer:
    """Builds the answer when another process works on the saga, or has finished it."""
    saga_id = claim.resource_id
    with transaction.atomic(durable=True):
        result = SagaResult(saga_id, selectors.get_saga_status(saga_id), selectors.get_saga_failure(saga_id))
        answer = build_answer(result)
        if answer.status != ACCEPTED:
            claim.complete(answer)
    return answer


def _build_completion(claim: Claim[SagaState | None], answer: Answer) -> UpdateWithRelease | None:
    """Builds the UPDATE that completes the key, for the statement that releases the saga. None without a key, or
    for an answer that is not final."""
    if answer.status == ACCEPTED:
        return None
    completion = claim.get_completion(answer)
    if completion is None:
        claim.record_completion(answer, is_completed=True)
        return None
    return UpdateWithRelease(
        COMPLETE, completion, lambda is_completed: claim.record_completion(answer, is_completed=is_completed)
    )

"""A write that runs as a saga and answers once: joins the idempotency record with the engine.

The saga carries the record's `resource_id`, so whoever repeats a crashed request finds the saga that it began.
"""

import uuid
from collections.abc import Callable

from django.db import transaction

from common.api.envelope import Answer
from idempotency.request import KeyedRequest
from idempotency.services import Completion, run_once
from sagas import engine, selectors
from sagas.models import SagaStatus
from sagas.outcomes import Failure
from sagas.state import SagaState

# What to answer, given the saga's id and status, and why it turned back. 202 means that the outcome is not known yet:
# never final.
AnswerOf = Callable[[uuid.UUID, SagaStatus | None, Failure | None], Answer]
ACCEPTED = 202


def run_saga_once(
    request: KeyedRequest, *, begin: Callable[[uuid.UUID], SagaState | None], answer_of: AnswerOf
) -> Answer:
    """`begin` starts the saga in the claiming transaction, or hands the wish to one that runs already (None)."""

    def claim_and_begin(saga_id: uuid.UUID, _completion: Completion) -> SagaState | None:
        return begin(saga_id)

    def finish(saga_id: uuid.UUID, saga: SagaState | None, completion: Completion) -> Answer:
        def at_rest(rested: SagaState) -> None:
            _complete_if_final(answer_of(saga_id, rested.status, rested.failure), completion)

        if saga is not None:
            engine.advance(saga, at_rest=at_rest)
        else:
            engine.resume(saga_id, at_rest=at_rest)
        return completion.answer or _answer_now(saga_id, answer_of, completion)

    return run_once(request, begin=claim_and_begin, finish=finish)


def _answer_now(saga_id: uuid.UUID, answer_of: AnswerOf, completion: Completion) -> Answer:
    """The saga is not ours (any more): says what is true by now."""
    with transaction.atomic(durable=True):
        answer = answer_of(saga_id, selectors.status_of(saga_id), selectors.failure_of(saga_id))
        _complete_if_final(answer, completion)
    return answer


def _complete_if_final(answer: Answer, completion: Completion) -> None:
    if answer.status != ACCEPTED:
        completion.final(answer)

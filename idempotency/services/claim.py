"""A claim: the write that a request performs under its Idempotency-Key, and how it ends."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now

from common.api.envelope import Answer
from common.ids import uuid7
from idempotency import cache
from idempotency.cache import StoredAnswer
from idempotency.models import IdempotencyKey
from idempotency.request import KeyedRequest

T = TypeVar("T")

# Completes a key, with the parameters of `Claim.get_completion`. No row: a later request has claimed the key.
COMPLETE = """
UPDATE idempotency_keys SET
    state = 'completed', response_status = %(answer_status)s, response_body = %(answer_body)s,
    completed_at = STATEMENT_TIMESTAMP()
WHERE id = %(answer_key)s AND fence = %(answer_fence)s AND state = 'in_flight'
"""


class Claim(Generic[T]):
    """A write that this request performs, with an Idempotency-Key or without.

    `resource_id` is the id of what the write creates. `started` is what `begin` returned; None when a request that
    crashed began the write. `answer` is the final answer, once its transaction has committed.
    """

    def __init__(
        self,
        request: KeyedRequest,
        record: IdempotencyKey | None,
        *,
        fence: int = 0,
        differing_fields: Sequence[str] = (),
        answer: Answer | None = None,
    ) -> None:
        self.request, self.differing_fields = request, differing_fields
        self.resource_id = record.resource_id if record else uuid7()
        self.started: T | None = None
        self.answer = answer
        self.was_answered_before = answer is not None
        self.is_superseded = False
        self._record, self._fence = record, fence

    def build_rows(self) -> list[Model]:
        """The rows that claim the key, for the statement of `begin_in_one_statement`."""
        return [] if self._record is None else [self._record]

    def complete(self, answer: Answer) -> None:
        """Records the final answer in the transaction around the call."""
        completion, is_completed = self.get_completion(answer), True
        if completion is not None:
            with connection.cursor() as cursor:
                cursor.execute(COMPLETE, completion)
                is_completed = cursor.rowcount == 1
        self.record_completion(answer, is_completed=is_completed)

    def get_completion(self, answer: Answer) -> dict[str, Any] | None:
        """The parameters of `COMPLETE`, for a caller that runs it inside a statement of its own and then calls
        `record_completion`. None without a key."""
        if self._record is None:
            return None
        return {
            "answer_key": self._record.id,
            "answer_fence": self._fence,
            "answer_status": answer.status,
            "answer_body": answer.body,
        }

    def record_completion(self, answer: Answer, *, is_completed: bool) -> None:
        if is_completed:
            transaction.on_commit(lambda: setattr(self, "answer", answer))
        else:
            # The lease had expired: a later request has claimed the key and answers for it.
            self.is_superseded = True

    def release(self) -> None:
        """Without a final answer: the next request with the key may resume the write at once."""
        if self._record is not None:
            self._find_own_record(self._record).update(lease_expires_at=Now())

    def abandon(self) -> None:
        """Frees the key of a write that was refused before it wrote anything, for any other write."""
        if self._record is not None:
            self._find_own_record(self._record).delete()

    def _find_own_record(self, record: IdempotencyKey) -> QuerySet[IdempotencyKey]:
        """The record while this claim holds it; none when a later request has claimed the key."""
        return IdempotencyKey.objects.filter(
            id=record.id, fence=self._fence, state=IdempotencyKey.State.IN_FLIGHT
        )

    def cache_answer(self, answer: Answer) -> None:
        if self._record is not None:
            fields = self._record.field_fingerprints
            cache.store_answer(self.request, StoredAnswer(answer.status, answer.body, fields))


def make_answered_claim(request: KeyedRequest, answer: Answer) -> Claim[T]:
    """A claim of a key whose write was answered before: there is nothing left to do."""
    return Claim(request, None, answer=answer)

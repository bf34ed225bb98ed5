"""Idempotent writes: each happens once, also when requests are repeated, answers are lost and processes are killed.

    claim_key()    ── one transaction: the key, and the rows that `begin` writes
    finish_claim() ── what comes after it, up to the final answer

Recovery points of a keyed write:

    nothing     the claiming transaction never committed: a repetition starts afresh
    in_flight   claim and business rows committed together: a repetition is refused until the lease expires, then
                resumes with the same `resource_id`
    completed   the answer committed with the rows that made it true: a repetition gets the same bytes
"""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Model, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from common import crash
from common.api.envelope import Answer, failure
from common.api.request_id import current_request_id
from common.db import from_now, insert_unless_exists, is_duplicate, repeat_on_conflict
from common.errors import ApiError, ServiceUnavailable
from common.ids import uuid7
from idempotency import cache, metrics
from idempotency.cache import StoredAnswer
from idempotency.errors import IdempotencyKeyReused, RequestInFlight
from idempotency.models import IdempotencyKey
from idempotency.request import KeyedRequest, is_usable_key

log = structlog.get_logger(__name__)
T = TypeVar("T")
State = IdempotencyKey.State

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
            own = IdempotencyKey.objects.filter(id=self._record.id, fence=self._fence, state=State.IN_FLIGHT)
            own.update(lease_expires_at=Now())

    def abandon(self) -> None:
        """Frees the key of a write that was refused before it wrote anything, for any other write."""
        if self._record is not None:
            own = IdempotencyKey.objects.filter(id=self._record.id, fence=self._fence, state=State.IN_FLIGHT)
            own.delete()

    def cache_answer(self, answer: Answer) -> None:
        if self._record is not None:
            fields = self._record.field_fingerprints
            cache.store_answer(self.request, StoredAnswer(answer.status, answer.body, fields))


def name_stored_answer(request: HttpRequest, *, tenant: str, route: str) -> str | None:
    """The name in Redis of the answer for `find_replay`. None without a usable key."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None or not is_usable_key(key):
        return None
    return cache.get_redis_name(KeyedRequest(tenant, request.method or "", route, key, fields={}))


def find_replay(request: KeyedRequest, raw: bytes | None) -> Answer | None:
    """The stored answer of an equal request, for a caller that looks before it validates the body: an equal body was
    valid. `raw` is the value of `name_stored_answer`. None when `claim_key` has to decide."""
    stored = cache.read_answer(request, raw)
    if stored is None:
        return None
    differing = _find_differences(request, stored.fields)
    if not request.lenient_fields.issuperset(differing):
        return None
    metrics.REQUESTS.labels(request.route).inc()
    return _build_replay(request, stored, differing, source="redis")


def claim_key(
    request: KeyedRequest,
    *,
    begin: Callable[[Claim[T]], T],
    begin_in_one_statement: Callable[[Claim[T], dt.datetime], T] | None = None,
    now: dt.datetime | None = None,
    reads_cache: bool = True,
) -> Claim[T]:
    """Claims the request's key and runs `begin` in the claiming transaction. `reads_cache`: False after `find_replay`.

    `begin_in_one_statement` does the same outside a transaction: its statement also inserts `Claim.build_rows`. It is
    tried first, when `now`, a time by the database's clock, is given. If a row exists already, nothing was written, and
    `begin` runs in a transaction.

    When the key was used before, the claim has the stored answer, or resumes the write of a request that crashed.
    A final refusal that `begin` raises becomes the answer. Raises `RequestInFlight`, `IdempotencyKeyReused`, and what
    `begin` raises otherwise.
    """
    if request.key is None:
        return _begin_without_key(request, begin)
    metrics.REQUESTS.labels(request.route).inc()
    stored = cache.load_answer(request) if reads_cache else None
    if stored is not None:
        return _make_answered_claim(request, _replay(request, stored, source="redis"))
    record = _build_record(request)
    claim = Claim[T](request, record, fence=record.fence)
    if (
        begin_in_one_statement is not None
        and now is not None
        and _has_begun_in_one_statement(claim, begin_in_one_statement, now)
    ):
        return claim

    def insert_and_begin() -> bool:
        with transaction.atomic(durable=True):
            is_new = insert_unless_exists(record)
            claim.started = begin(claim) if is_new else None
            crash.reach("idempotency.claim.before_commit")
        return is_new

    try:
        is_new = repeat_on_conflict(insert_and_begin)
    except ApiError as error:
        if not error.is_final_answer:
            raise
        return _make_answered_claim(request, _store_refusal(request, failure(error)))
    crash.reach("idempotency.claim.after_commit")
    return claim if is_new else _claim_again(request)


def find_claim(request: KeyedRequest) -> Claim[T] | None:
    """The claim of a key that was used before, for a caller that refuses new writes. None for a new key, or without
    one. Raises `RequestInFlight`, `IdempotencyKeyReused`."""
    if request.key is None or not _find_records(request).exists():
        return None
    metrics.REQUESTS.labels(request.route).inc()
    return _claim_again(request)


def _has_begun_in_one_statement(
    claim: Claim[T], begin_in_one_statement: Callable[[Claim[T], dt.datetime], T], now: dt.datetime
) -> bool:
    """False when a row exists already."""
    crash.reach("idempotency.claim.before_commit")
    try:
        claim.started = repeat_on_conflict(lambda: begin_in_one_statement(claim, now))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return False
    crash.reach("idempotency.claim.after_commit")
    return True


def finish_claim(claim: Claim[T], *, work: Callable[[Claim[T]], Answer]) -> Answer:
    """Runs `work`, the part of the write after the claiming transaction, unless the claim has its answer already.

    `work` passes a final answer to `claim.complete`; any other answer leaves the key in flight, and so does an error.
    """
    while not claim.was_answered_before:
        try:
            answer = claim.answer or work(claim)
        except ApiError:
            claim.release()
            raise
        if claim.is_superseded:
            claim = _claim_again(claim.request)
            continue
        if claim.answer is None:
            claim.release()
        else:
            claim.cache_answer(answer)
        headers = _mismatch_headers(claim.request, claim.differing_fields)
        return replace(answer, headers={**answer.headers, **headers})
    assert claim.answer is not None
    return claim.answer


def write_in_one_commit(request: KeyedRequest, *, write: Callable[[uuid.UUID], Answer]) -> Answer:
    """Does a write that consists of our own rows alone: claim, rows and answer are one commit."""

    def begin(claim: Claim[None]) -> None:
        claim.complete(write(claim.resource_id))

    def never(_claim: Claim[None]) -> Answer:
        raise AssertionError("a write of one commit is never found in flight")

    return finish_claim(claim_key(request, begin=begin), work=never)


def _begin_without_key(request: KeyedRequest, begin: Callable[[Claim[T]], T]) -> Claim[T]:
    claim = Claim[T](request, None)

    def begin_in_transaction() -> None:
        with transaction.atomic(durable=True):
            claim.started = begin(claim)

    repeat_on_conflict(begin_in_transaction)
    return claim


def _make_answered_claim(request: KeyedRequest, answer: Answer) -> Claim[T]:
    return Claim(request, None, answer=answer)


def _build_record(request: KeyedRequest) -> IdempotencyKey:
    assert request.key is not None
    return IdempotencyKey(
        tenant=request.tenant,
        method=request.method,
        route=request.route,
        key=request.key,
        resource_id=uuid7(),
        field_fingerprints=dict(request.fields),
        lease_expires_at=from_now(settings.IDEMPOTENCY_LEASE_SECONDS),
        request_id=current_request_id(),
    )


def _claim_again(request: KeyedRequest) -> Claim[T]:
    """The key is known: replays its answer, refuses while it is in flight, or resumes the write of a request that
    crashed."""
    expired = ExpressionWrapper(Q(lease_expires_at__lte=Now()), output_field=BooleanField())
    record = _find_records(request).annotate(lease_expired=expired).first()
    if record is None:  # its retention ended between our two statements
        raise ServiceUnavailable(headers={"Retry-After": "1"})
    if record.state == State.COMPLETED:
        stored = _get_stored_answer(record)
        cache.store_answer(request, stored)
        return _make_answered_claim(request, _replay(request, stored, source="postgres"))
    differing = _require_same_request(request, record.field_fingerprints)
    claimed = record.lease_expired and IdempotencyKey.objects.filter(
        id=record.id, fence=record.fence, state=State.IN_FLIGHT
    ).update(
        fence=F("fence") + 1, lease_expires_at=Now() + timedelta(seconds=settings.IDEMPOTENCY_LEASE_SECONDS)
    )
    if not claimed:
        metrics.CONFLICTS.labels(request.route, "in_flight").inc()
        raise RequestInFlight({"idempotency_key": request.key}, headers={"Retry-After": "1"})
    log.info("idempotency.resumed", idempotency_key=request.key, resource_id=str(record.resource_id))
    return Claim(request, record, fence=record.fence + 1, differing_fields=differing)


def _store_refusal(request: KeyedRequest, answer: Answer) -> Answer:
    """Stores a definite business refusal as the final answer of its key; its own work was rolled back."""
    record = _build_record(request)
    record.state, record.response_status, record.response_body = State.COMPLETED, answer.status, answer.body
    record.completed_at = from_now()
    with transaction.atomic(durable=True):
        first = insert_unless_exists(record)
    if not first:
        stored = _find_records(request).first()
        if stored is None or stored.state != State.COMPLETED:
            raise RequestInFlight({"idempotency_key": request.key}, headers={"Retry-After": "1"})
        return _replay(request, _get_stored_answer(stored), source="postgres")
    cache.store_answer(request, StoredAnswer(answer.status, answer.body, request.fields))
    return answer


def _replay(request: KeyedRequest, stored: StoredAnswer, *, source: str) -> Answer:
    differing = _require_same_request(request, stored.fields)
    return _build_replay(request, stored, differing, source=source)


def _build_replay(
    request: KeyedRequest, stored: StoredAnswer, differing: Sequence[str], *, source: str
) -> Answer:
    headers = {"Idempotent-Replayed": "true", **_mismatch_headers(request, differing)}
    metrics.CACHE_HITS.labels(request.route, source).inc()
    log.info("idempotency.replayed", idempotency_key=request.key, source=source)
    return Answer(status=stored.status, body=stored.body, headers=headers)


def _mismatch_headers(request: KeyedRequest, differing: Sequence[str]) -> dict[str, str]:
    if not differing:
        return {}
    metrics.CONFLICTS.labels(request.route, "payload_mismatch").inc()
    log.warning("idempotency.payload_mismatch", idempotency_key=request.key, fields=differing)
    return {"Idempotency-Payload-Mismatch": ", ".join(differing)}


def _require_same_request(request: KeyedRequest, fields: Mapping[str, str]) -> list[str]:
    """Raises `IdempotencyKeyReused` naming the fields that differ; returns those that are allowed to."""
    differing = _find_differences(request, fields)
    if not request.lenient_fields.issuperset(differing):
        metrics.CONFLICTS.labels(request.route, "key_reused").inc()
        raise IdempotencyKeyReused({"idempotency_key": request.key, "fields": differing})
    return differing


def _find_differences(request: KeyedRequest, fields: Mapping[str, str]) -> list[str]:
    """The names of the fields that differ, in the order of the alphabet."""
    names = fields.keys() | request.fields.keys()
    return sorted(name for name in names if fields.get(name) != request.fields.get(name))


def _find_records(request: KeyedRequest) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(
        tenant=request.tenant, key=request.key or "", method=request.method, route=request.route
    )


def _get_stored_answer(record: IdempotencyKey) -> StoredAnswer:
    assert record.response_status is not None
    assert record.response_body is not None
    return StoredAnswer(
        status=record.response_status,
        body=bytes(record.response_body),
        fields=record.field_fingerprints,
    )

"""Does a write once, also when requests are repeated, answers are lost and processes are killed.

Recovery points of a keyed write:

    nothing     the claiming transaction never committed: a repeat starts afresh
    in_flight   claim and business rows committed together: a repeat waits for the lease, then resumes with the
                same `resource_id`
    completed   the answer committed with the rows that made it true: a repeat gets the same bytes
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from common import crash
from common.api.envelope import Answer, failure
from common.api.request_id import current_request_id
from common.db import from_now, insert_unless_exists, repeat_on_conflict
from common.errors import ApiError, ServiceUnavailable
from common.ids import uuid7
from idempotency import cache, metrics
from idempotency.cache import Remembered
from idempotency.errors import IdempotencyKeyReused, RequestInFlight
from idempotency.models import IdempotencyKey
from idempotency.request import KeyedRequest

log = structlog.get_logger(__name__)
T = TypeVar("T")
State = IdempotencyKey.State


class Completion:
    """Handed to the second half of a write: `final(answer)` records the answer in the transaction around it.

    `answer` is set once that has committed: what was rolled back was never said.
    """

    def __init__(self, record: IdempotencyKey | None, fence: int) -> None:
        self._record, self._fence = record, fence
        self.answer: Answer | None = None
        self.superseded = False

    def final(self, answer: Answer) -> None:
        if self._record is not None and not self._complete(self._record, answer):
            # A later request took over this key and speaks for it now.
            self.superseded = True
            return
        transaction.on_commit(lambda: setattr(self, "answer", answer))

    def give_back(self) -> None:
        """Not final yet: whoever comes next with the key may carry on at once."""
        if self._record is not None:
            self._ours(self._record).update(lease_expires_at=Now())

    def _complete(self, record: IdempotencyKey, answer: Answer) -> bool:
        completed = self._ours(record).update(
            state=State.COMPLETED,
            response_status=answer.status,
            response_body=answer.body,
            completed_at=Now(),
        )
        return bool(completed)

    def _ours(self, record: IdempotencyKey) -> QuerySet[IdempotencyKey]:
        return IdempotencyKey.objects.filter(id=record.id, fence=self._fence, state=State.IN_FLIGHT)


# What creates the rows, given their id; and what carries on after the commit, given what creation returned
# (None when a crashed request is resumed). A write that is done with its own rows completes in `begin`.
Begin = Callable[[uuid.UUID, Completion], T]
Finish = Callable[[uuid.UUID, T | None, Completion], Answer]


def run_once(request: KeyedRequest, *, begin: Begin[T], finish: Finish[T]) -> Answer:
    """Runs `begin` inside the claiming transaction and, unless that completed the write, `finish` after it; or
    replays, or refuses. Raises `RequestInFlight`, `IdempotencyKeyReused`, and what `begin` and `finish` raise.
    """
    if request.key is None:
        return _run_unkeyed(begin, finish)
    metrics.REQUESTS.labels(request.route).inc()
    remembered = cache.load(request)
    if remembered is not None:
        return _replay(request, remembered, source="redis")
    record = _new_record(request)
    completion = Completion(record, record.fence)

    def claim() -> tuple[bool, T | None]:
        with transaction.atomic(durable=True):
            claimed = insert_unless_exists(record)
            started = begin(record.resource_id, completion) if claimed else None
            crash.reach("idempotency.claim.before_commit")
        return claimed, started

    try:
        claimed, started = repeat_on_conflict(claim)
    except ApiError as error:
        if not error.is_final_answer:
            raise
        return _remember_refusal(request, failure(error))
    crash.reach("idempotency.claim.after_commit")
    if not claimed:
        return _meet(request, finish)
    return _finish(request, record, started, completion, finish)


def run_in_one_commit(request: KeyedRequest, *, write: Callable[[uuid.UUID], Answer]) -> Answer:
    """`run_once` for a write that is nothing but rows of ours: claim, rows and answer are one commit."""

    def begin(resource_id: uuid.UUID, completion: Completion) -> None:
        completion.final(write(resource_id))

    def finish(_resource_id: uuid.UUID, _started: None, _completion: Completion) -> Answer:
        raise AssertionError("a write of one commit is never found in flight")

    return run_once(request, begin=begin, finish=finish)


def _run_unkeyed(begin: Begin[T], finish: Finish[T]) -> Answer:
    resource_id, completion = uuid7(), Completion(None, 0)

    def claim() -> T:
        with transaction.atomic(durable=True):
            return begin(resource_id, completion)

    started = repeat_on_conflict(claim)
    return completion.answer or finish(resource_id, started, completion)


def _new_record(request: KeyedRequest) -> IdempotencyKey:
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


def _meet(request: KeyedRequest, finish: Finish[T]) -> Answer:
    """The key is known: replay its answer, refuse while it is in flight, or take over from a crashed request."""
    expired = ExpressionWrapper(Q(lease_expires_at__lte=Now()), output_field=BooleanField())
    record = _same_key(request).annotate(lease_expired=expired).first()
    if record is None:  # its retention ended between our two statements
        raise ServiceUnavailable(headers={"Retry-After": "1"})
    if record.state == State.COMPLETED:
        remembered = _remembered(record)
        cache.store(request, remembered)
        return _replay(request, remembered, source="postgres")
    differing = _refuse_other_request(request, record.field_fingerprints)
    taken = record.lease_expired and IdempotencyKey.objects.filter(
        id=record.id, fence=record.fence, state=State.IN_FLIGHT
    ).update(
        fence=F("fence") + 1, lease_expires_at=Now() + timedelta(seconds=settings.IDEMPOTENCY_LEASE_SECONDS)
    )
    if not taken:
        metrics.CONFLICTS.labels(request.route, "in_flight").inc()
        raise RequestInFlight({"idempotency_key": request.key}, headers={"Retry-After": "1"})
    log.info("idempotency.resumed", idempotency_key=request.key, resource_id=str(record.resource_id))
    answer = _finish(request, record, None, Completion(record, record.fence + 1), finish)
    return replace(answer, headers={**answer.headers, **_mismatch_headers(request, differing)})


def _finish(
    request: KeyedRequest,
    record: IdempotencyKey,
    started: T | None,
    completion: Completion,
    finish: Finish[T],
) -> Answer:
    try:
        answer = completion.answer or finish(record.resource_id, started, completion)
    except ApiError:
        completion.give_back()
        raise
    if completion.superseded:
        return _meet(request, finish)
    if completion.answer is None:
        completion.give_back()
        return answer
    cache.store(request, Remembered(answer.status, answer.body, record.field_fingerprints))
    return answer


def _remember_refusal(request: KeyedRequest, answer: Answer) -> Answer:
    """A definite business refusal is the final answer of its key; its own work was rolled back."""
    record = _new_record(request)
    record.state, record.response_status, record.response_body = State.COMPLETED, answer.status, answer.body
    record.completed_at = from_now()
    with transaction.atomic(durable=True):
        first = insert_unless_exists(record)
    if not first:
        stored = _same_key(request).first()
        if stored is None or stored.state != State.COMPLETED:
            raise RequestInFlight({"idempotency_key": request.key}, headers={"Retry-After": "1"})
        return _replay(request, _remembered(stored), source="postgres")
    cache.store(request, Remembered(answer.status, answer.body, request.fields))
    return answer


def _replay(request: KeyedRequest, remembered: Remembered, *, source: str) -> Answer:
    differing = _refuse_other_request(request, remembered.fields)
    headers = {"Idempotent-Replayed": "true", **_mismatch_headers(request, differing)}
    metrics.CACHE_HITS.labels(request.route, source).inc()
    log.info("idempotency.replayed", idempotency_key=request.key, source=source)
    return Answer(status=remembered.status, body=remembered.body, headers=headers)


def _mismatch_headers(request: KeyedRequest, differing: list[str]) -> dict[str, str]:
    if not differing:
        return {}
    metrics.CONFLICTS.labels(request.route, "payload_mismatch").inc()
    log.warning("idempotency.payload_mismatch", idempotency_key=request.key, fields=differing)
    return {"Idempotency-Payload-Mismatch": ", ".join(differing)}


def _refuse_other_request(request: KeyedRequest, fields: Mapping[str, str]) -> list[str]:
    """Raises `IdempotencyKeyReused` naming the fields that differ; returns those that are allowed to."""
    names = sorted(fields.keys() | request.fields.keys())
    differing = [name for name in names if fields.get(name) != request.fields.get(name)]
    if not request.lenient_fields.issuperset(differing):
        metrics.CONFLICTS.labels(request.route, "key_reused").inc()
        raise IdempotencyKeyReused({"idempotency_key": request.key, "fields": differing})
    return differing


def _same_key(request: KeyedRequest) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(
        tenant=request.tenant, key=request.key or "", method=request.method, route=request.route
    )


def _remembered(record: IdempotencyKey) -> Remembered:
    assert record.response_status is not None
    assert record.response_body is not None
    return Remembered(
        status=record.response_status,
        body=bytes(record.response_body),
        fields=record.field_fingerprints,
    )

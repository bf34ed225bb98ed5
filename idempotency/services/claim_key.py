"""Claims the Idempotency-Key of a request, so that only this request performs the write."""

import datetime as dt
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from common import crash
from common.api.envelope import Answer, failure
from common.api.request_id import current_request_id
from common.db import from_now, insert_unless_exists, is_duplicate, repeat_on_conflict
from common.errors import ApiError, ServiceUnavailable
from common.ids import uuid7
from idempotency import cache, metrics
from idempotency.cache import StoredAnswer
from idempotency.errors import RequestInFlight
from idempotency.models import IdempotencyKey
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim, make_answered_claim
from idempotency.services.replay import replay_answer, require_same_request

log = structlog.get_logger(__name__)
T = TypeVar("T")
State = IdempotencyKey.State


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
        return make_answered_claim(request, replay_answer(request, stored, source="redis"))
    record = _build_record(request)
    claim = Claim[T](request, record, fence=record.fence)
    if (
        begin_in_one_statement is not None
        and now is not None
        and _has_begun_in_one_statement(claim, begin_in_one_statement, now)
    ):
        return claim
    try:
        is_new = _insert_and_begin(claim, record, begin)
    except ApiError as error:
        if not error.is_final_answer:
            raise
        return make_answered_claim(request, store_refusal(request, failure(error)))
    return claim if is_new else claim_used_key(request)


def _begin_without_key(request: KeyedRequest, begin: Callable[[Claim[T]], T]) -> Claim[T]:
    claim = Claim[T](request, None)

    def begin_in_transaction() -> None:
        with transaction.atomic(durable=True):
            claim.started = begin(claim)

    repeat_on_conflict(begin_in_transaction)
    return claim


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


def _insert_and_begin(claim: Claim[T], record: IdempotencyKey, begin: Callable[[Claim[T]], T]) -> bool:
    """False when the key was used before: nothing was written, and `begin` did not run."""

    def insert_and_begin() -> bool:
        with transaction.atomic(durable=True):
            is_new = insert_unless_exists(record)
            claim.started = begin(claim) if is_new else None
            crash.reach("idempotency.claim.before_commit")
        return is_new

    is_new = repeat_on_conflict(insert_and_begin)
    crash.reach("idempotency.claim.after_commit")
    return is_new


def find_claim(request: KeyedRequest) -> Claim[T] | None:
    """The claim of a key that was used before, for a caller that refuses new writes. None for a new key, or without
    one. Raises `RequestInFlight`, `IdempotencyKeyReused`."""
    if request.key is None or not _find_records(request).exists():
        return None
    metrics.REQUESTS.labels(request.route).inc()
    return claim_used_key(request)


def claim_used_key(request: KeyedRequest) -> Claim[T]:
    """Claims a key that was used before: replays its answer, refuses while it is in flight, or resumes the write of a
    request that crashed. Raises `RequestInFlight`, `IdempotencyKeyReused`."""
    expired = ExpressionWrapper(Q(lease_expires_at__lte=Now()), output_field=BooleanField())
    record = _find_records(request).annotate(lease_expired=expired).first()
    if record is None:  # its retention ended between our two statements
        raise ServiceUnavailable(headers={"Retry-After": "1"})
    if record.state == State.COMPLETED:
        stored = _get_stored_answer(record)
        cache.store_answer(request, stored)
        return make_answered_claim(request, replay_answer(request, stored, source="postgres"))
    differing = require_same_request(request, record.field_fingerprints)
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


def store_refusal(request: KeyedRequest, answer: Answer) -> Answer:
    """Stores a definite business refusal as the final answer of its key; its own work was rolled back. Returns the
    answer of another request that has completed the key meanwhile. Raises `RequestInFlight` while that one runs."""
    record = _build_record(request)
    record.state, record.response_status, record.response_body = State.COMPLETED, answer.status, answer.body
    record.completed_at = from_now()
    with transaction.atomic(durable=True):
        is_new = insert_unless_exists(record)
    if not is_new:
        stored = _find_records(request).first()
        if stored is None or stored.state != State.COMPLETED:
            raise RequestInFlight({"idempotency_key": request.key}, headers={"Retry-After": "1"})
        return replay_answer(request, _get_stored_answer(stored), source="postgres")
    cache.store_answer(request, StoredAnswer(answer.status, answer.body, request.fields))
    return answer


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

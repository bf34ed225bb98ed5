"""A worker claims due sagas of its queue, fairly between keys, at a cost that does not depend on the backlog."""

import datetime as dt
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from sagas import store, wakeups
from sagas.definitions import Definition
from sagas.models import SagaInstance, SagaStep
from sagas.start import start_saga
from sagas.state import SagaState
from sagas.store import ClaimedSagas
from tests.sagas.conftest import reload
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db
QUEUE = "test.claims"
Due = Callable[..., list[uuid.UUID]]


@pytest.fixture
def due(define: Callable[..., Definition]) -> Due:
    definition = define(deadline_seconds=900)

    def _due(key: str, count: int, *, queue: str = QUEUE) -> list[uuid.UUID]:
        ids = [uuid.uuid4() for _ in range(count)]
        for saga_id in ids:
            with transaction.atomic():
                start_saga(
                    definition,
                    saga_id=saga_id,
                    business_id=str(saga_id),
                    data={},
                    leased=False,
                    task_queue=queue,
                    fairness_key=key,
                )
        return ids

    return _due


def claim(places: int, **more: object) -> ClaimedSagas:
    return store.claim_due_sagas(task_queue=QUEUE, places=places, **more)  # type: ignore[arg-type]


def keys_of(batch: ClaimedSagas) -> Counter[str]:
    return Counter(saga.fairness_key for saga in batch.sagas)


def test_one_key_alone_gets_half_of_the_places(due: Due) -> None:
    due("a", 20)
    batch = claim(12)
    assert (len(batch.sagas), batch.has_more) == (6, True)


def test_a_new_key_finds_a_free_place_beside_a_backlog(due: Due) -> None:
    due("a", 20)
    newcomer = due("b", 1)
    batch = claim(6, held={"a": 6})
    assert [saga.id for saga in batch.sagas] == newcomer


def test_two_keys_get_the_same_number_of_places(due: Due) -> None:
    due("a", 20)
    due("b", 5)
    assert keys_of(claim(12)) == {"a": 4, "b": 4}


def test_with_more_keys_than_places_each_key_gets_at_most_one(due: Due) -> None:
    for number in range(9):
        due(f"key-{number}", 2)
    batch = claim(6)
    assert len(batch.sagas) == len(keys_of(batch)) == 6


def test_the_longest_due_sagas_of_a_key_come_first(due: Due) -> None:
    ids = due("a", 5)
    last = ids[-1]
    SagaInstance.objects.filter(id=last).update(lease_expires_at=Now() - dt.timedelta(minutes=1))
    assert claim(1).sagas[0].id == last


def test_the_last_place_is_used(due: Due) -> None:
    due("a", 2)
    assert len(claim(1).sagas) == 1


def test_each_queue_is_claimed_separately(due: Due) -> None:
    due("a", 3, queue="another")
    assert claim(12).sagas == []
    assert len(store.claim_due_sagas(task_queue="another", places=12).sagas) == 3


def test_a_claim_reads_a_bounded_number_of_keys(due: Due, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEYS_PER_CLAIM", 4)
    for number in range(6):
        due(f"key-{number}", 1)
    first = claim(12)
    assert (sorted(keys_of(first)), first.last_key) == ([f"key-{n}" for n in range(4)], "key-3")
    second = claim(12, after=first.last_key)
    assert (sorted(keys_of(second)), second.last_key) == (["key-4", "key-5"], "")


def test_one_possibly_poison_saga_at_a_time_is_claimed(due: Due) -> None:
    """One of the four sagas may have killed their worker. They are claimed one at a time, so that the other three do
    not count as poison."""
    suspects = due("a", 4)
    SagaInstance.objects.filter(id__in=suspects).update(claims_without_progress=1)
    sound = due("a", 2)
    claimed = [saga.id for saga in claim(12).sagas]
    assert len(set(claimed) & set(suspects)) == 1
    assert set(claimed) >= set(sound)
    assert claim(12, possibly_poison=0).sagas == []


def test_the_wait_for_a_worker_is_added_to_the_deadline(due: Due) -> None:
    """The saga has a deadline of 15 minutes, and no worker runs for an hour: the hour does not count."""
    (saga_id,) = due("a", 1)
    hour = dt.timedelta(hours=1)
    SagaInstance.objects.filter(id=saga_id).update(
        lease_expires_at=F("lease_expires_at") - hour, deadline_at=F("deadline_at") - hour
    )
    (saga,) = claim(1).sagas
    assert not saga.deadline_passed
    row = SagaInstance.objects.get(id=saga_id)
    assert dt.timedelta(minutes=14) < row.deadline_at - row.updated_at <= dt.timedelta(minutes=15)


def test_a_deadline_that_passed_before_the_saga_was_due_counts(due: Due) -> None:
    (saga_id,) = due("a", 1)
    hour, minute = dt.timedelta(hours=1), dt.timedelta(minutes=1)
    SagaInstance.objects.filter(id=saga_id).update(lease_expires_at=Now() - minute, deadline_at=Now() - hour)
    assert claim(1).sagas[0].deadline_passed


def test_a_request_that_resumes_a_saga_extends_the_deadline_too(due: Due) -> None:
    (saga_id,) = due("a", 1)
    hour = dt.timedelta(hours=1)
    SagaInstance.objects.filter(id=saga_id).update(
        lease_expires_at=F("lease_expires_at") - hour, deadline_at=F("deadline_at") - hour
    )
    saga = store.claim_saga(saga_id)
    assert saga is not None
    assert not saga.deadline_passed


def test_the_trigger_keeps_due_at_in_step_with_the_retries_of_the_steps(due: Due) -> None:
    """The quick start's query reads `next_retry_at` of the steps; workers read `due_at` of the saga. Both agree."""
    (saga_id,) = due("a", 1)
    SagaInstance.objects.filter(id=saga_id).update(lease_expires_at=None)
    assert claim(1).sagas == []
    step = SagaStep.objects.filter(saga_id=saga_id, step_order=1)
    step.update(status="failed", next_retry_at=Now() + dt.timedelta(minutes=1))
    assert claim(1).sagas == []
    step.update(next_retry_at=Now() - dt.timedelta(minutes=1))
    assert [saga.id for saga in claim(1).sagas] == [saga_id]
    row = SagaInstance.objects.get(id=saga_id)
    assert row.retry_at is None
    assert step.get().next_retry_at is None


@pytest.fixture
def queue_of_its_own() -> Iterator[str]:
    queue = f"test.{uuid.uuid4().hex}"
    yield queue
    with hints_client() as client:
        client.delete(wakeups.redis_key(queue))


def hints_client():  # type: ignore[no-untyped-def]
    from django_redis import get_redis_connection

    return get_redis_connection("default")


def test_redis_holds_at_most_one_wakeup_for_a_queue(queue_of_its_own: str) -> None:
    for _again in range(50):
        wakeups.send_wakeup_now(queue_of_its_own)
    assert hints_client().llen(wakeups.redis_key(queue_of_its_own)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_saga_that_another_worker_is_claiming_is_skipped(due: Due) -> None:
    ids = due("a", 4)
    found: list[ClaimedSagas] = []

    def another() -> None:
        try:
            found.append(claim(4))
        finally:
            connection.close()

    with transaction.atomic():
        first = claim(4)
        thread = threading.Thread(target=another)
        thread.start()
        thread.join(PATIENCE_SECONDS)
    (second,) = found
    assert second.was_contended
    assert not {saga.id for saga in first.sagas} & {saga.id for saga in second.sagas}
    assert {saga.id for saga in claim(8).sagas} | {saga.id for saga in first.sagas} == set(ids)


def test_a_claim_raises_the_fence_of_the_claimed_sagas_only(
    define: Callable[..., Definition], begin: Callable[..., SagaState], due: Due
) -> None:
    due("a", 6)
    claim(4)
    fences = Counter(SagaInstance.objects.filter(task_queue=QUEUE).values_list("fence", flat=True))
    assert fences == {1: 4, 2: 2}
    held = begin(define())
    assert reload(held).fence == 1

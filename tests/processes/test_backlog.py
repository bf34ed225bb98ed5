"""A backlog from a time without workers is worked off. It never makes a backlog of messages."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.conf import settings

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import RECOVERY_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

PAYMENTS, CLIENTS = 60, 6
LOST = "auto_pay,no_webhook,timeout_after"


def test_sagas_that_waited_for_workers(platform: Platform, shop: HttpShop, books: Books) -> None:
    """However many sagas wait, each queue holds at most one hint, and beat adds nothing to a long queue. No saga fails,
    and each is claimed only as often as needed: no claim is wasted on a saga that no worker then runs."""
    platform.worker.kill()
    writes = _send(shop, PAYMENTS)
    _require_few_messages(platform)
    platform.worker.start()
    platform.wait_for_worker(platform.worker)
    _require_all_completed(platform, books, writes)
    _require_few_messages(platform)
    for write in writes:
        saga = books.require_saga(write.key)
        attempts = books.rows("SELECT 1 FROM saga_events WHERE saga_id = %s", saga["id"])
        assert saga["fence"] <= len(attempts), "claimed without an attempt"


def test_an_outage_longer_than_the_deadline_fails_no_saga(
    platform: Platform, shop: HttpShop, books: Books
) -> None:
    platform.worker.kill()
    writes = _send(shop, 6)
    for write in writes:
        saga = books.require_saga(write.key)
        assert books.row(
            "UPDATE saga_instances SET deadline_at = deadline_at - interval '1 day' WHERE id = %s RETURNING id",
            saga["id"],
        )
        assert books.row(
            "UPDATE saga_steps SET next_retry_at = next_retry_at - interval '1 day'"
            " WHERE saga_id = %s AND next_retry_at IS NOT NULL RETURNING id",
            saga["id"],
        )
    platform.worker.start()
    platform.wait_for_worker(platform.worker)
    _require_all_completed(platform, books, writes)


def test_a_full_redis_stops_nothing(platform: Platform, shop: HttpShop, books: Books) -> None:
    """With `noeviction` and no memory left, nothing can be published. Payments are still created and finished."""
    with _full(platform):
        writes = _send(shop, 6)
        _require_all_completed(platform, books, writes)
        for write in writes:
            books.require_paid_once(write.body["order_no"])


def _send(shop: HttpShop, count: int) -> list[Write]:
    writes = [payment(LOST) for _ in range(count)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        replies = list(clients.map(shop.send, writes))
    assert {reply.status for reply in replies} == {202}
    return writes


def _require_all_completed(platform: Platform, books: Books, writes: list[Write]) -> None:
    keys = [write.key for write in writes]
    query = (
        "SELECT i.status, count(*) AS count FROM idempotency_keys k JOIN saga_instances i ON i.id = k.resource_id"
        " WHERE k.key = ANY(%s) GROUP BY 1"
    )

    def all_ended() -> bool:
        platform.supervise()
        return {row["status"]: row["count"] for row in books.rows(query, keys)} == {"completed": len(keys)}

    wait_until(all_ended, RECOVERY_SECONDS + len(keys) + LOADED_SECONDS, "all sagas to complete")


def _require_few_messages(platform: Platform) -> None:
    with platform.redis_client() as client:
        lists = {key: client.llen(key) for key in client.scan_iter(_type="list")}
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    for queue in settings.CELERY_TASK_QUEUES:
        assert lists.pop(f"{prefix}{queue.name}".encode(), 0) <= settings.TASK_QUEUE_LIMIT + 5, queue.name
    assert all(b":sagas:wake:" in key for key in lists), lists
    assert all(length <= 1 for length in lists.values()), lists


@contextmanager
def _full(platform: Platform) -> Iterator[None]:
    with platform.redis_client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")
    platform.wait_for_worker(platform.worker)

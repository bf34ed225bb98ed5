"""SIGTERM while a worker waits for a slow channel: it finishes the call, records the outcome, claims nothing more, and
exits with 0. The webhook worker's: tests/webhooks_out/test_worker.py; web: tests/stack; relay: tests/events."""

import signal
import sys
from collections.abc import Iterator

import pytest

from scripts.local.config import ROOT
from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import RECOVERY_SECONDS, Platform, Process
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

# Longer than everything that a loaded machine does between the call and the signal.
SLOW_SECONDS = 8
# If the process died instead, its lease would still be there at the end of the test.
PATIENT = {"SAGA_LEASE_SECONDS": "600", "CHANNEL_TIMEOUT_SECONDS": "60"}
SAGAS = 4

_HELD = """
SELECT k.key FROM idempotency_keys k JOIN saga_instances i ON i.id = k.resource_id
JOIN simulator_calls c ON c.operation = 'query' AND (c.key = i.business_id OR c.key LIKE i.id || ':%%')
WHERE k.key = ANY(%s) AND i.lease_expires_at > now()
"""


@pytest.fixture
def alone(platform: Platform) -> Platform:
    """No other worker runs: what the one of the test leaves stays as it is."""
    platform.worker.kill()
    return platform


@pytest.fixture
def worker(alone: Platform, request: pytest.FixtureRequest) -> Iterator[Process]:
    """Runs the command of the test's parameter."""
    arguments: list[str] = request.param
    process = Process(
        arguments[0],
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        alone.directory / f"{arguments[0]}.log",
        {**alone.environment, **PATIENT, "SERVICE_NAME": arguments[0]},
    )
    process.start()
    yield process
    process.kill()


@pytest.mark.parametrize("worker", [["run_sagas", "test"]], indirect=True, ids=["run_sagas"])
def test_a_saga_worker(alone: Platform, worker: Process, shop: HttpShop, books: Books) -> None:
    """The worker has few places, so that some sagas remain that it must not claim any more."""
    script = f"auto_pay,no_webhook,timeout_after,query:slow:{SLOW_SECONDS}"
    writes = {write.key: write for write in (payment(script) for _ in range(SAGAS))}
    assert {shop.send(write).status for write in writes.values()} == {202}
    wait_until(lambda: _held(books, writes), LOADED_SECONDS, "a slow call", interval=0.05)
    worker.end(signal.SIGTERM)
    _require_end(worker)

    sagas = {key: books.require_saga(key) for key in writes}
    assert [saga for saga in sagas.values() if saga["lease_expires_at"]] == []
    done = [key for key, saga in sagas.items() if saga["status"] == "completed"]
    assert 0 < len(done) < SAGAS, sagas
    for key in done:
        books.require_paid_once(writes[key].body["order_no"])
    alone.worker.start()
    alone.wait_for_worker(alone.worker)
    for key, write in writes.items():
        saga = books.wait_for_saga(key, RECOVERY_SECONDS + SAGAS * SLOW_SECONDS, "completed")
        books.require_paid_once(write.body["order_no"])
        if key in done:
            assert saga["fence"] == sagas[key]["fence"], "claimed again"


def _held(books: Books, writes: dict[str, Write]) -> list[str]:
    return [row["key"] for row in books.rows(_HELD, list(writes))]


@pytest.mark.parametrize("worker", [["poll_payments"]], indirect=True, ids=["poll_payments"])
def test_a_poller(alone: Platform, worker: Process, shop: HttpShop, books: Books) -> None:
    """The poller is querying a refund that has succeeded."""
    script = f"refund_pending:9999,query_refund:slow:{SLOW_SECONDS}"
    paid = shop.succeeded_payment(script)
    write = Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": 1_000})
    refund = shop.repeat_until_final(write, RECOVERY_SECONDS).data
    assert refund["status"] == "processing"
    settled = "UPDATE simulator_refunds SET settles_at = now() WHERE reference = %s RETURNING reference"
    assert books.row(settled, refund["refund_no"])
    due = "UPDATE refunds SET next_check_at = now() WHERE refund_no = %s RETURNING id"
    assert books.row(due, refund["refund_no"])
    calls = "SELECT 1 FROM simulator_calls WHERE operation = 'query_refund' AND key = %s"
    wait_until(lambda: books.row(calls, refund["refund_no"]), LOADED_SECONDS, "the poll", interval=0.05)
    assert _refund(books, refund["refund_no"])["status"] == "processing"
    worker.end(signal.SIGTERM)
    _require_end(worker)
    after = _refund(books, refund["refund_no"])
    assert (after["status"], after["next_check_at"]) == ("succeeded", None)
    assert books.ledger(paid["payment_no"])["refund"] == [1_000]


def _refund(books: Books, refund_no: str) -> Row:
    found = books.row("SELECT * FROM refunds WHERE refund_no = %s", refund_no)
    assert found is not None
    return found


def _require_end(worker: Process) -> None:
    log = worker.log.read_text()
    assert worker.exit_code == 0, log
    assert "worker.stopped" in log
    assert "Traceback" not in log

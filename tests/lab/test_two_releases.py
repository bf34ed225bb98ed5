"""Both releases of the code on both schemas, as real processes: the next release is rolled out under payments and back.

The next release is this one with expand migrations, code that writes the new columns, and a second version of a saga's
definition (`scripts/lab/next_release.py`). Besides its migrations, each table gets a column that this release does not
know: a later release may add one to any of them.

| code | schema | here |
| --- | --- | --- |
| this release | its own | a payment's life, before |
| next release | of this one | its worker waits; its gateway migrates before it listens |
| this release | of the next one | payments while it migrates, and after the next release is gone |
| next release | its own | a payment's life whose writes go to both gateways in turns |
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from scripts.lab.next_release import (
    APP,
    BACKFILLED,
    DEFINITION,
    NEXT,
    VERSION,
    last_migration,
    make_next_release,
)
from scripts.local.config import ROOT
from scripts.local.postgres import connect
from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import (
    RECOVERY_SECONDS,
    START_SECONDS,
    Platform,
    Process,
    free_port,
    is_gateway_ready,
)
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

AMOUNT, PART = 10_000, 4_000
# A payment whose channel has taken the money and whose answer was lost: a worker finishes it.
LOST = "auto_pay,no_webhook,timeout_after"
CLIENTS = 2
# For how long a worker leaves a saga alone whose definition it does not know, and more.
LEFT_ALONE_SECONDS = 6.0

_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname
"""
_BY_RELEASE = "SELECT DISTINCT coalesce(release, 'this') AS release FROM payments"
_NEW_COLUMNS = """
SELECT p.release AS payment, r.release AS refund FROM payments p JOIN refunds r ON r.payment_id = p.id
WHERE p.payment_no = %s
"""


@dataclass(frozen=True, slots=True)
class NextRelease:
    code: Path
    web: Process
    worker: Process
    shop: HttpShop
    url: str

    def is_ready(self) -> bool:
        self.web.require_running()
        return is_gateway_ready(self.url)


@pytest.fixture
def platform() -> Iterator[Platform]:
    """Of this release. Its own, because its schema changes."""
    with Platform(has_circuit_breaker=False) as platform:
        yield platform


@pytest.fixture
def shop(platform: Platform) -> HttpShop:
    """At the gateway of this release."""
    return HttpShop(platform.url, **platform.merchant)


@pytest.fixture
def books(platform: Platform) -> Iterator[Books]:
    books = Books(platform.database)
    yield books
    books.close()


@pytest.fixture
def next_release(platform: Platform, tmp_path: Path) -> Iterator[NextRelease]:
    """Its processes are built and not started."""
    code, port = tmp_path / "next", free_port()
    make_next_release(ROOT, code)
    # Both gateways are behind one address, which is in their answers.
    environment = {
        **platform.environment,
        "PORT": str(port),
        "PUBLIC_BASE_URL": f"http://localhost:{platform.port}",
    }

    def build(name: str, *arguments: str) -> Process:
        command = [sys.executable, "manage.py", *arguments]
        log = platform.directory / f"{name}.log"
        return Process(name, command, log, {**environment, "SERVICE_NAME": name}, code=code)

    web, worker = build("next-web", "serve"), build("next-worker", "run_sagas", "test", "default")
    url = f"http://127.0.0.1:{port}"
    yield NextRelease(code, web, worker, HttpShop(url, **platform.merchant), url)
    worker.kill()
    web.kill()


def test_both_releases_on_both_schemas(
    platform: Platform, shop: HttpShop, next_release: NextRelease, books: Books
) -> None:
    _make_payments(shop, shop)
    next_release.worker.start()
    wait_until(
        lambda: next_release.worker.has_logged("worker.waits_for_migrations"), START_SECONDS, "its worker"
    )
    with _paying_at(shop):
        next_release.web.start()
        wait_until(next_release.is_ready, START_SECONDS, "the gateway of the next release")
        _add_a_column_to_each_table(platform)
    wait_until(lambda: next_release.worker.has_logged("worker.started"), START_SECONDS, "its worker")
    _require_end(next_release.worker)

    ours, theirs = _make_payments(shop, next_release.shop), _make_payments(next_release.shop, shop)
    assert _read_new_columns(books, ours) == (None, "")
    assert _read_new_columns(books, theirs) == (NEXT, NEXT)
    assert {row["release"] for row in books.rows(_BY_RELEASE)} == {BACKFILLED, "this", NEXT}
    _require_that_its_sagas_are_left_to_it(platform, next_release, books)
    _require_that_it_resumes_sagas_of_this_release(platform, shop, next_release, books)

    for process in (next_release.web, next_release.worker):
        _require_end(process)
    with _paying_at(shop):
        _manage(next_release, "migrate", "--no-input", APP, last_migration(ROOT))
    _make_payments(shop, shop)
    books.wait_until_settled(RECOVERY_SECONDS, supervise=platform.supervise)


def _make_payments(first: HttpShop, second: HttpShop) -> str:
    """Each write goes to the other gateway than the write before; repeated to the other one, it has the same answer.
    Returns the number of a payment that `first` made and that was refunded in part."""
    opening = payment("authorize,no_webhook", amount=AMOUNT, capture_method="manual")
    held = _send(opening, first, second)
    assert held["status"] == "authorized"
    number = str(held["payment_no"])
    captured = _send(Write(f"/api/v1/payments/{number}/capture", {"amount": AMOUNT}), second, first)
    assert (captured["status"], captured["captured_amount"]) == ("succeeded", AMOUNT)
    refund = _send(Write("/api/v1/refunds", {"payment_no": number, "amount": PART}), first, second)
    assert refund["status"] == "succeeded"
    seen = [shop.get(f"/api/v1/payments/{number}").data for shop in (first, second)]
    assert seen[0] == seen[1]
    assert [shop.get("/api/v1/payments").status for shop in (first, second)] == [200, 200]
    opened = _send(payment("no_webhook", amount=AMOUNT), first, second)
    cancel = Write(f"/api/v1/payments/{opened['payment_no']}/cancel", {"reason": "changed my mind"})
    assert _send(cancel, second, first)["status"] == "cancelled"
    return number


def _read_new_columns(books: Books, payment_no: str) -> tuple[str | None, str]:
    """Of the payment and of its refund."""
    (row,) = books.rows(_NEW_COLUMNS, payment_no)
    return row["payment"], row["refund"]


def _send(write: Write, to: HttpShop, repeated_to: HttpShop) -> dict[str, Any]:
    answer = to.repeat_until_final(write, RECOVERY_SECONDS).data
    assert repeated_to.repeat_until_final(write, RECOVERY_SECONDS).data == answer
    return answer


@contextmanager
def _paying_at(shop: HttpShop) -> Iterator[None]:
    """Meanwhile clients pay without a pause, and each payment succeeds."""
    over = threading.Event()

    def pay() -> None:
        while not over.is_set():
            shop.succeeded_payment()

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(pay) for _client in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
    for client in clients:
        client.result()


def _add_a_column_to_each_table(platform: Platform) -> None:
    with connect(platform.database) as session:
        tables = [name for (name,) in session.execute(_TABLES).fetchall()]
        assert "payments" in tables
        for table in tables:
            added = sql.SQL("ALTER TABLE {} ADD COLUMN of_a_later_release text")
            session.execute(added.format(sql.Identifier(table)))


def _require_that_its_sagas_are_left_to_it(
    platform: Platform, next_release: NextRelease, books: Books
) -> None:
    """The worker of this release does not know the definition: it leaves the saga as it is."""
    write = payment(LOST, amount=AMOUNT)
    assert next_release.shop.send(write).status == 202
    wait_until(
        lambda: platform.worker.has_logged("saga.definition_unknown"), LOADED_SECONDS, "the worker to see it"
    )
    saga = books.require_saga(write.key)
    assert (saga["definition"], saga["definition_version"]) == (DEFINITION, VERSION)
    assert (saga["status"], saga["needs_attention"]) == ("in_progress", False), saga
    next_release.worker.start()
    books.wait_for_saga(write.key, LEFT_ALONE_SECONDS + RECOVERY_SECONDS, "completed")
    books.require_paid_once(write.body["order_no"])


def _require_that_it_resumes_sagas_of_this_release(
    platform: Platform, shop: HttpShop, next_release: NextRelease, books: Books
) -> None:
    platform.worker.kill()
    write = payment(LOST, amount=AMOUNT)
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    assert books.require_saga(write.key)["definition_version"] < VERSION
    books.require_paid_once(write.body["order_no"])
    platform.worker.start()
    platform.wait_for_worker(platform.worker)


def _require_end(process: Process) -> None:
    """By SIGTERM, as a release is rolled out. It met no error, such as a column that is not there."""
    process.end(signal.SIGTERM)
    log = process.log.read_text()
    assert process.exit_code == 0, log
    assert "Traceback" not in log, log
    assert "does not exist" not in log, log


def _manage(release: NextRelease, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=release.code,
        env=release.web.environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr

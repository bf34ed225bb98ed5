"""Makes payout runs on a platform of processes, and checks them afterwards."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.local.config import ROOT
from scripts.local.postgres import connect
from tests.support.books import TERMINAL, Books
from tests.support.http_shop import HttpShop
from tests.support.processes import LEASE_SECONDS, SWEEP_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

AMOUNT = 10_000
# Two deaths at most, each of which is noticed when a lease ends.
RUN_SECONDS = 2 * (LEASE_SECONDS + SWEEP_SECONDS) + LOADED_SECONDS
_AGE_DAYS = 30


class PayoutDesk:
    """A process that acts for staff. A command with `crash_at` kills the child process that runs it at this point."""

    def __init__(self, platform: Platform) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.payout_desk"],
            cwd=ROOT,
            env=platform.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def do(self, act: str, **order: str) -> Any:
        answer = self._send({"act": act, **order})
        assert "result" in answer, f"{act}: {answer}"
        return answer["result"]

    def die_at(self, crash_at: str, act: str, **order: str) -> None:
        answer = self._send({"act": act, "crash_at": crash_at, **order})
        assert answer == {"killed": True}, f"{act} at {crash_at}: {answer}"

    def _send(self, order: dict[str, str]) -> dict[str, Any]:
        """Sends a command and reads its answer. Log lines of the desk come between the answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and found.keys() == {"answer"}:
                    answer: dict[str, Any] = found["answer"]
                    return answer
        raise AssertionError(f"the desk ended: {self._process.wait()}")


@dataclass(frozen=True)
class PayableMerchant:
    """A merchant to whom the platform owes `AMOUNT` in one currency."""

    id: str
    currency: str


@contextlib.contextmanager
def open_desk(platform: Platform) -> Iterator[PayoutDesk]:
    desk = PayoutDesk(platform)
    try:
        yield desk
    finally:
        desk.close()


def sign_up_merchants(
    platform: Platform, desk: PayoutDesk, currency: str, count: int
) -> list[PayableMerchant]:
    """Creates merchants whose balance is payable. Each test has its own currency, because its money is made older."""
    merchants = []
    for _each in range(count):
        account = desk.do("sign_up", currency=currency)
        shop = HttpShop(platform.url, account["key"], account["secret"])
        shop.succeeded_payment(amount=AMOUNT, currency=currency)
        merchants.append(PayableMerchant(account["id"], currency))
    _age_money(platform, currency)
    return merchants


def _age_money(platform: Platform, currency: str) -> None:
    """Makes all money of the currency so many days older. No rollup of the ledger runs meanwhile."""
    parameters = {"currency": currency, "days": _AGE_DAYS}
    with connect(platform.database) as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("LOCK TABLE ledger_rollup_queue IN EXCLUSIVE MODE")
        cursor.execute(
            "UPDATE ledger_transfers SET day = day - %(days)s,"
            " created_at = created_at - make_interval(days => %(days)s) WHERE currency = %(currency)s",
            parameters,
        )
        cursor.execute(
            "UPDATE ledger_daily_balances SET day = day - %(days)s"
            " WHERE account_id IN (SELECT id FROM ledger_accounts WHERE currency = %(currency)s)",
            parameters,
        )


def find_run_ids(books: Books, merchant: PayableMerchant) -> list[str]:
    """Returns the ids of all runs with a payout of the merchant, oldest first."""
    rows = books.rows("SELECT run_id FROM payouts WHERE merchant_id = %s ORDER BY created_at", merchant.id)
    return [str(row["run_id"]) for row in rows]


def wait_for_approval(books: Books, run_id: str) -> None:
    query = "SELECT 1 FROM saga_instances WHERE id = %s AND waiting_for = 'payout_run.decided' AND lease_owner = ''"
    wait_until(lambda: books.row(query, run_id), RUN_SECONDS, f"run {run_id} to wait for its approval")


def wait_for_end(books: Books, run_id: str, status: str) -> None:
    """Fails at once for a run that needs review."""
    query = "SELECT id FROM saga_instances WHERE id = %s AND (status = ANY(%s) OR needs_attention)"
    saga = wait_until(lambda: books.row(query, run_id, [*TERMINAL]), RUN_SECONDS, f"the end of run {run_id}")
    books.require_terminal(saga["id"], status)


def require_sent_once(books: Books, merchant: PayableMerchant, run_id: str) -> None:
    """Requires one file, recorded by its step, one payout that is not cancelled, and one posting of it."""
    run = books.row("SELECT status FROM payout_runs WHERE id = %s", run_id)
    assert run == {"status": "sent"}
    files = books.rows("SELECT sha256 FROM payout_files WHERE run_id = %s", run_id)
    recorded = (
        "SELECT result->>'sha256' AS sha256 FROM saga_steps WHERE saga_id = %s AND step_name = 'ExportFile'"
    )
    assert files == [books.row(recorded, run_id)]
    payouts = books.rows(
        "SELECT run_id::text, status, amount_minor FROM payouts WHERE merchant_id = %s AND status <> 'canceled'",
        merchant.id,
    )
    assert payouts == [{"run_id": run_id, "status": "in_transit", "amount_minor": AMOUNT}]
    posted = books.rows(
        "SELECT 1 FROM ledger_transfers t JOIN payouts p ON p.id = t.subject_id"
        " WHERE p.merchant_id = %s AND t.event = 'payout.posted'",
        merchant.id,
    )
    assert len(posted) == 1


def require_not_sent(books: Books, run_id: str) -> None:
    run = books.row("SELECT status FROM payout_runs WHERE id = %s", run_id)
    assert run == {"status": "canceled"}
    assert books.rows("SELECT 1 FROM payout_files WHERE run_id = %s", run_id) == []
    payouts = books.rows("SELECT status FROM payouts WHERE run_id = %s", run_id)
    assert payouts == [{"status": "canceled"}]

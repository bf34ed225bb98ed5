"""What must be true after any scenario: nothing that was confirmed is lost, nothing is done twice, all books agree."""

import json
import sys
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from scripts.lab import database
from scripts.lab.client import Client, Outcome
from scripts.lab.lifecycle import load_merchant, manage
from scripts.lab.plan import BANK, Folders
from scripts.lab.settings import BANK_DESK_URL, BANK_PORT, PUBLIC_URL, Secrets
from scripts.local.waiting import wait_until

SETTLE_SECONDS = 300.0
BANK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment as the platform has it."""

    payment_no: str
    order_no: str
    status: str
    amount: int
    captured: int
    refunded: int  # with what is still pending


@dataclass(frozen=True, slots=True)
class Taken:
    """What a bank moved under one reference."""

    taken: int = 0
    refunded: int = 0


@dataclass(frozen=True, slots=True)
class RecordedBooks:
    payments: Sequence[RecordedPayment]
    refund_numbers: frozenset[str]
    at_banks: Mapping[str, Taken]


@dataclass(slots=True)
class LabVerdict:
    """Each problem in words. Nothing is in it when all is well."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unsettled or self.inconsistent)


def settle_and_check(folders: Folders, outcomes: Sequence[Outcome]) -> LabVerdict:
    """Brings the lab to rest and judges it. Writes without an answer are repeated until they have one."""
    verdict = LabVerdict()
    client = Client(PUBLIC_URL, load_merchant(folders))
    _finish(client, outcomes, verdict)
    _send_callbacks_again()
    passwords = Secrets.load(folders).passwords
    with database.connect(passwords) as session:
        session.row_factory = dict_row
        for row in session.execute(_OPEN_AT_BANK).fetchall():
            client.request(
                "POST", f"/api/v1/payments/{row['payment_no']}/sync", {}, key=f"sync-{row['payment_no']}"
            )
        if not wait_until(lambda: not _list_unfinished(session), SETTLE_SECONDS, interval=1.0):
            verdict.unsettled += _list_unfinished(session)
        compare(outcomes, read_books(session), verdict)
    checked = manage(
        folders, "check_consistency", "--grace", "0s", check=False, host=BANK, settings=_BOOKS_HERE
    )
    if checked.returncode != 0:
        verdict.inconsistent.append((checked.stdout + checked.stderr)[-4000:])
    return verdict


# The books of a sandbox are read on its own host only (monitoring/sandbox_books.py).
_BOOKS_HERE = {"WECHAT_API_BASE": f"http://127.0.0.1:{BANK_PORT}"}
_OPEN_AT_BANK = """
    SELECT p.payment_no FROM payments p
    WHERE p.status IN ('pending', 'processing')
       OR EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('pending', 'processing'))
"""
_UNFINISHED = """
    SELECT 'saga ' || id AS what FROM saga_instances WHERE status IN ('pending', 'in_progress') AND NOT needs_attention
    UNION ALL
    SELECT 'event ' || id FROM outbox_events WHERE published_at IS NULL OR fanned_out_at IS NULL
"""


def compare(outcomes: Sequence[Outcome], books: RecordedBooks, verdict: LabVerdict) -> None:
    """What was confirmed to clients, with what the platform has and what the banks did. Adds to the verdict."""
    by_number = {payment.payment_no: payment for payment in books.payments}
    of_order = Counter(payment.order_no for payment in books.payments)
    asked: Counter[str] = Counter()  # refunds of each payment that these clients have made
    for outcome in outcomes:
        if outcome.kind == "refund":
            asked[outcome.body["payment_no"]] += outcome.body["amount"]
        elif of_order[outcome.body["order_no"]] > 1:
            verdict.doubled.append(f"order {outcome.body['order_no']} has several payments")
        if outcome.is_confirmed and (reason := _why_lost(outcome, by_number, books.refund_numbers)):
            verdict.lost.append(reason)
    # Other loads have made the other payments.
    ours = {outcome.number for outcome in outcomes if outcome.kind == "payment"}
    for payment in books.payments:
        at_bank = books.at_banks.get(payment.payment_no, Taken())
        too_much = payment.payment_no in ours and payment.refunded > asked[payment.payment_no]
        if at_bank.taken > payment.amount or too_much:
            verdict.doubled.append(
                f"{payment}, at the bank {at_bank}, refunds asked {asked[payment.payment_no]}"
            )
        elif (payment.captured, payment.refunded) != (at_bank.taken, at_bank.refunded):
            verdict.inconsistent.append(f"{payment}, at the bank {at_bank}")
    unknown = set(books.at_banks) - set(by_number)
    verdict.lost += [f"{reference} was paid at the bank and is unknown here" for reference in sorted(unknown)]


def _why_lost(
    outcome: Outcome, by_number: Mapping[str, RecordedPayment], refund_numbers: frozenset[str]
) -> str | None:
    if outcome.kind == "refund":
        return None if outcome.number in refund_numbers else f"refund {outcome.number} was confirmed"
    payment = by_number.get(outcome.number)
    if payment is None or payment.order_no != outcome.body["order_no"]:
        return f"payment {outcome.number} of {outcome.body['order_no']} was confirmed"
    if outcome.paid_at is not None and payment.status != "succeeded":
        return f"payment {outcome.number} was reported as paid and is {payment.status}"
    return None


def read_books(session: "psycopg.Connection[Any]") -> RecordedBooks:
    """Of the platform, of the simulator (in the same database, committed apart) and of the sandbox of WeChat Pay."""
    rows = session.execute(
        "SELECT payment_no, order_no, status, amount_minor AS amount, captured_minor AS captured,"
        " refunded_minor + refund_pending_minor AS refunded FROM payments"
    ).fetchall()
    refunds = session.execute("SELECT refund_no FROM refunds").fetchall()
    ledger = session.execute("SELECT reference, kind, amount FROM simulator_ledger").fetchall()
    movements = [(row["reference"], row["kind"], row["amount"]) for row in ledger]
    with urllib.request.urlopen(f"{BANK_DESK_URL}/sandbox/books", timeout=BANK_SECONDS) as answer:
        entries = json.load(answer)["entries"]
    movements += [
        (each["out_trade_no"], each["kind"], abs(each["amount"])) for each in entries if each["out_trade_no"]
    ]
    return RecordedBooks(
        [RecordedPayment(**row) for row in rows],
        frozenset(row["refund_no"] for row in refunds),
        add_up(movements),
    )


def add_up(movements: Iterable[tuple[str, str, int]]) -> dict[str, Taken]:
    """`charge` is the simulator's word for what `payment` is at WeChat Pay."""
    taken: defaultdict[str, int] = defaultdict(int)
    refunded: defaultdict[str, int] = defaultdict(int)
    for reference, kind, amount in movements:
        if kind in ("charge", "capture", "payment"):
            taken[reference] += amount
        elif kind == "refund":
            refunded[reference] += amount
    return {each: Taken(taken[each], refunded[each]) for each in {*taken, *refunded}}


def _finish(client: Client, outcomes: Iterable[Outcome], verdict: LabVerdict) -> None:
    give_up = threading.Event()
    timer = threading.Timer(SETTLE_SECONDS, give_up.set)
    timer.start()
    for outcome in outcomes:
        if outcome.answered_at is not None:
            continue
        answer = client.send_until_final(outcome, give_up)
        if answer is None:
            verdict.unsettled.append(
                f"{outcome.kind} with key {outcome.key} gets no final answer: {outcome.errors}"
            )
        elif outcome.is_confirmed:
            outcome.number = answer.data[f"{outcome.kind}_no"]
    timer.cancel()


def _send_callbacks_again() -> None:
    """WeChat Pay repeats its callbacks for a day; here at once."""
    with urllib.request.urlopen(f"{BANK_DESK_URL}/sandbox/callbacks", timeout=BANK_SECONDS) as answer:
        callbacks = json.load(answer)
    for event_id in {each["event_id"] for each in callbacks if each["status"] != "delivered"}:
        body = json.dumps({"event_id": event_id}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{BANK_DESK_URL}/sandbox/callbacks/resend", body, headers)
        urllib.request.urlopen(request, timeout=BANK_SECONDS).close()


def _list_unfinished(session: "psycopg.Connection[Any]") -> list[str]:
    return [row["what"] for row in session.execute(_UNFINISHED).fetchall()]


def print_verdict(verdict: LabVerdict) -> None:
    for name in ("lost", "doubled", "unsettled", "inconsistent"):
        found = getattr(verdict, name)
        print(f"{name}: {len(found)}", *(f"  {each}" for each in found[:20]), sep="\n", flush=True)
    sys.stdout.flush()

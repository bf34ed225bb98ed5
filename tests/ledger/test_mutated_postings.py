"""Every event of the ledger, posted by the platform and then mutated: a guard of the database refuses the mutated
posting, or an integrity check names it.

A new event needs a line in `play_all` that posts it: then all mutations are tried on it.
"""

import datetime as dt
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from django.db import DatabaseError, connection, transaction

from channels.base import DisputeState, RefundState
from fees.formula import RefundRule
from gateway import state_machine
from gateway.models import Payment
from gateway.services.channel_updates.refunds import apply_refund_update
from ledger.models import LedgerTransfer, TransferEvent
from merchants.services import NewMerchant
from monitoring.integrity import double_entry, fees, ledger_accounts, payouts, settlements
from monitoring.integrity.search import find_violations
from payouts.models import Payout
from payouts.services import runs
from payouts.services.outcomes import BankOutcome, record_outcome
from settlements.models import SettlementCase, StatementFormat
from settlements.parsers.base import StatementIdentity
from settlements.services.cases import book_case
from settlements.services.importing import import_statement
from settlements.services.matching import settle_statement
from settlements.services.voiding import approve_void, request_void, void_statement
from tests.gateway.test_late_payments import (
    banks,  # noqa: F401
    build_refund_update,
    declined_refund,
    fail_over,
    pay_earlier_attempt,
)
from tests.ledger.test_postings import SIMULATOR, dispute
from tests.ledger.test_suspense import dashboard_refund
from tests.payouts.conftest import age_ledger, approve, create_run, give_bank_account, no_conflict
from tests.payouts.conftest import give_plan as give_payout_plan
from tests.support import background, bank
from tests.support.fee_plans import give_plan
from tests.support.fixtures import new_merchant
from tests.support.shop import cancel, data, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CHECKS = (
    *ledger_accounts.CHECKS,
    *double_entry.CHECKS,
    *settlements.CHECKS,
    *payouts.CHECKS,
    *fees.CHECKS,
)
SHARE = 5
OPEN, WON = DisputeState.NEEDS_RESPONSE, DisputeState.WON
FLIPPED = "CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END"
# Another account of the same merchant, or of the platform, with one property changed. {0} is SQL for its value.
OTHER_ACCOUNT = """
INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel, channel_account_id)
SELECT gen_random_uuid(), {kind}, environment, {currency}, {merchant}, {channel}, channel_account_id
FROM ledger_accounts WHERE id IN (SELECT account_id FROM ledger_entries WHERE transfer_id = %(id)s {which})
ON CONFLICT DO NOTHING;
UPDATE ledger_entries AS entry SET account_id = other.id
FROM ledger_accounts AS own JOIN ledger_accounts AS other
  ON (other.kind, other.currency, other.channel, other.environment) = ({own_kind}, {own_currency}, {own_channel},
      own.environment)
 AND other.merchant_id IS NOT DISTINCT FROM {own_merchant}
 AND other.channel_account_id IS NOT DISTINCT FROM own.channel_account_id
WHERE own.id = entry.account_id AND entry.transfer_id = %(id)s {which}
"""
FIRST = "AND leg = 1"


def change_account(column: str, value: str, which: str = "") -> str:
    """SQL that moves the legs to accounts which differ in one column. `{}` in the value is the column."""
    texts = {"kind": "kind", "currency": "currency", "merchant": "merchant_id", "channel": "channel"}
    plain, own = dict(texts), {f"own_{name}": f"own.{of}" for name, of in texts.items()}
    plain[column] = value.format(texts[column])
    own[f"own_{column}"] = value.format(f"own.{texts[column]}")
    return OTHER_ACCOUNT.format(which=which, **plain, **own)


def change_transfer(change: str) -> str:
    return f"UPDATE ledger_transfers SET {change} WHERE id = %(id)s"


# A kind of account that is wrong for the leg.
WRONG_KIND = "CASE {} WHEN 'disputes' THEN 'application_fees' ELSE 'disputes' END"
# The merchants' accounts only: the platform's have no merchant.
OTHER_MERCHANT = "CASE WHEN {} IS NULL THEN NULL ELSE %(other)s::uuid END"
COPY = """
INSERT INTO ledger_transfers SELECT (jsonb_populate_record(t, jsonb_build_object('id', %(copy)s::text, 'kind', 'single',
    'pending_id', NULL, 'sequence', {0}))).* FROM ledger_transfers AS t WHERE id = %(id)s;
INSERT INTO ledger_rollup_queue (transfer_id) VALUES (%(copy)s);
INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
SELECT %(copy)s, leg, account_id, phase, direction, amount_minor FROM ledger_entries WHERE transfer_id = %(id)s
"""
MUTATIONS: dict[str, str] = {
    "a leg is missing": "DELETE FROM ledger_entries WHERE transfer_id = %(id)s AND leg = 1",
    "two legs are missing": "DELETE FROM ledger_entries WHERE transfer_id = %(id)s AND leg IN (1, 2)",
    "a wrong sign": f"UPDATE ledger_entries SET direction = {FLIPPED} WHERE transfer_id = %(id)s AND leg = 1",
    "all signs are wrong": f"UPDATE ledger_entries SET direction = {FLIPPED} WHERE transfer_id = %(id)s",
    "doubled": COPY.format("sequence"),
    "doubled, with another sequence": COPY.format("sequence + 1"),
    "a cent more on one side": "UPDATE ledger_entries SET amount_minor = amount_minor + 1"
    " WHERE transfer_id = %(id)s AND leg = 1",
    "a cent more": "UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE transfer_id = %(id)s",
    "a leg at another kind of account": change_account("kind", WRONG_KIND, FIRST),
    "all legs at another kind of account": change_account("kind", WRONG_KIND),
    "a leg at another channel": change_account("channel", "'elsewhere'", FIRST),
    "all legs at another channel": change_account("channel", "'elsewhere'"),
    "a leg in another currency": change_account("currency", "'EUR'", FIRST),
    "all legs in another currency": change_account("currency", "'EUR'"),
    "everything in another currency": f"{change_account('currency', chr(39) + 'EUR' + chr(39))};"
    + change_transfer("currency = 'EUR'"),
    "two days earlier": change_transfer("day = day - 2"),  # in the first hour of a day, one day less is right
    "a day later": change_transfer("day = day + 1"),
    "another merchant's accounts": change_account("merchant", "%(other)s::uuid"),
    "everything of another merchant": f"{change_account('merchant', OTHER_MERCHANT)};"
    + change_transfer("merchant_id = %(other)s"),
    "not posted": "DELETE FROM ledger_entries WHERE transfer_id = %(id)s;"
    "DELETE FROM ledger_rollup_queue WHERE transfer_id = %(id)s;"
    "UPDATE ledger_transfers SET pending_id = NULL, kind = 'single' WHERE pending_id = %(id)s AND kind = 'post';"
    "DELETE FROM ledger_entries WHERE transfer_id IN (SELECT id FROM ledger_transfers WHERE pending_id = %(id)s);"
    "DELETE FROM ledger_transfers WHERE id = %(id)s OR pending_id = %(id)s",
}


@dataclass(frozen=True)
class World:
    """A transfer of every event. `other` is a merchant to whom none of them belongs."""

    transfers: dict[str, uuid.UUID]
    other: uuid.UUID


@pytest.fixture
def world(
    acme: NewMerchant,
    client: SignedClient,
    banks: list[object],  # noqa: F811
) -> World:
    play_all(acme, client)
    transfers = {each.event: each.id for each in LedgerTransfer.objects.order_by("created_at", "id")}
    return World(transfers, new_merchant().merchant.pk)


def play_all(acme: NewMerchant, client: SignedClient) -> None:
    give_plan(rule=RefundRule.PROPORTIONAL)
    give_payout_plan(acme.merchant.id)
    give_bank_account(acme.merchant.id)
    _refunds(client)
    _late_and_duplicate(client)
    _disputes_and_suspense(client)
    payment_no = paid(client)["payment_no"]
    moment = LedgerTransfer.objects.filter(source=payment_no).values_list("created_at", flat=True).get()
    _voided_statement(moment - dt.timedelta(days=1))
    _statement(payment_no, moment)
    age_ledger()
    _payouts(client)


def _refunds(client: SignedClient) -> None:
    returned = data(refund(client, paid(client), 4_000))
    _apply(returned, RefundState.FAILED)
    declined_refund(client, paid(client, "refund_declined"), 4_000)
    # A failed refund succeeds later, and the rest of it fits when another refund is returned.
    payment = paid(client, "refund_declined")
    late = declined_refund(client, payment, 8_000)
    Payment.objects.filter(payment_no=payment["payment_no"]).update(metadata={})
    bank.forget_script(payment["payment_no"])
    second = data(refund(client, payment, 7_000))
    _apply(late, RefundState.SUCCEEDED)
    _apply(second, RefundState.FAILED)


def _apply(created_refund: dict[str, object], state: RefundState) -> None:
    update = build_refund_update(created_refund, state)
    assert apply_refund_update(update=update, source=SIMULATOR, is_current=True) == "applied"


def _late_and_duplicate(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    pay_earlier_attempt(fail_over(client))
    background.finish()


def _disputes_and_suspense(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, OPEN, 6_000, number="dp_1")
    dispute(payment, OPEN, 6_000, number="dp_2")
    dispute(payment, WON, 6_000, number="dp_1")
    released, charged = paid(client), paid(client)
    for number, each in (("dp_3", released), ("dp_4", charged)):
        dispute(each, OPEN, 8_000, number=number)
        dashboard_refund(each, 5_000)
    dashboard_refund(released, 5_000, RefundState.FAILED)
    with transaction.atomic():
        locked = Payment.objects.select_for_update().get(payment_no=charged["payment_no"])
        state_machine.charge_suspense(payment=locked, actor="ana", reason="agreed")
    dashboard_refund(charged, 5_000, RefundState.FAILED)


def _voided_statement(moment: dt.datetime) -> None:
    rows = (
        f"fee,{moment.isoformat()},USD,0.00,1.00,-1.00,,,",
        "total,,USD,0.00,1.00,-1.00,1,,",
    )
    file_id = _import(rows, moment)
    request_void(file_id=file_id, actor="ann", reason="a wrong day")
    approve_void(file_id=file_id, actor="bob", reason="right", find_conflict=no_conflict)
    void_statement(file_id=file_id)


def _statement(payment_no: str, moment: dt.datetime) -> None:
    """Imports a statement with a payment and its fee, a payout, and an unknown line whose case is booked."""
    at = moment.isoformat()
    rows = (
        f"payment,{at},USD,100.00,3.20,96.80,{payment_no},,",
        f"payment,{at},USD,7.00,0.00,7.00,PAY-UNKNOWN,,",
        f"payout,{at},USD,-50.00,0.00,-50.00,,po_1,",
        "total,,USD,57.00,3.20,53.80,3,,",
    )
    _import(rows, moment)
    case = SettlementCase.objects.get(kind="unknown_line")
    book_case(case_id=case.id, actor="ann", reason="it is there")


def _import(rows: Sequence[str], moment: dt.datetime) -> uuid.UUID:
    header = "kind,occurred_at,currency,gross,fee,net,reference,channel_no,payout_no"
    identity = StatementIdentity("simulator", "test", None, moment.astimezone(dt.UTC).date())
    file = io.BytesIO(("\n".join([header, *rows]) + "\n").encode())
    imported = import_statement(file=file, format=StatementFormat.CSV, identity=identity).file
    settle_statement(file_id=imported.id)
    return imported.id


def _payouts(client: SignedClient) -> None:
    runs.reject_run(run_id=create_run(), actor="bob", reason="wrong day")
    approve(create_run())
    payout_no = Payout.objects.get(status="in_transit").payout_no
    failed = BankOutcome(payout_no=payout_no, status="failed", code="AC04")
    for actor, outcome in (("ann", failed), ("bob", failed), ("ann", BankOutcome(payout_no, "paid"))):
        record_outcome(outcome=outcome, actor=actor, reason="report", find_conflict=no_conflict)


def test_every_event_has_its_accounts() -> None:
    events = set(TransferEvent.values)
    assert set(ledger_accounts.POSTED) == events, "monitoring/integrity/ledger_accounts.py"


def test_every_mutation_of_every_event_is_caught(world: World, pytestconfig: pytest.Config) -> None:
    """With --long, every mutation is tried on every event. Otherwise each is tried on a part of the events."""
    is_long = pytestconfig.getoption("--long")
    assert set(world.transfers) == set(TransferEvent.values), "play_all posts every event"
    assert list(find_catchers()) == []
    caught: dict[str, dict[str, str]] = {}
    for number, (name, sql) in enumerate(MUTATIONS.items()):
        for place, event in enumerate(TransferEvent.values):
            if is_long or (number + place) % SHARE == 0:
                caught.setdefault(name, {})[event] = catch(world, world.transfers[event], sql)
    missed = [f"{event}: {name}" for name, events in caught.items() for event, by in events.items() if not by]
    assert not missed, missed
    for name, events in caught.items():
        print(f"{name}: {', '.join(sorted(set(events.values())))}")
    for name in (
        "a leg is missing",
        "a wrong sign",
        "a leg in another currency",
        "another merchant's accounts",
    ):
        assert set(caught[name].values()) == {"ledger_transfer_balances"}, "the database refuses it"


def catch(world: World, transfer_id: uuid.UUID, sql: str) -> str:
    """Returns the constraint that refuses the mutated transfer, or the check that names it. Rolls the mutation back."""
    numbers = {"id": transfer_id, "other": world.other, "copy": uuid.uuid4()}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        try:
            with transaction.atomic():
                for statement in sql.split(";"):
                    cursor.execute(statement, numbers)
        except DatabaseError as error:
            found = read_constraint(error)
        else:
            cursor.execute("SET LOCAL session_replication_role = origin")
            found = refuse(transfer_id) or next(find_catchers(), "")
        cursor.execute("SET LOCAL session_replication_role = origin")
        transaction.set_rollback(True)
    return found


def refuse(transfer_id: uuid.UUID) -> str:
    """Returns the constraint by which the database would have refused these legs; empty if it accepts them."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT ledger_require_balance(t) FROM ledger_transfers AS t WHERE id = %s", [transfer_id]
            )
    except DatabaseError as error:
        return read_constraint(error)
    return ""


def read_constraint(error: DatabaseError) -> str:
    name: str | None = error.__cause__.diag.constraint_name  # type: ignore[union-attr]
    assert name, error
    return name


def find_catchers() -> Iterator[str]:
    """Yields the checks of the ledger that find a violation."""
    with connection.cursor() as cursor:
        for check in CHECKS:
            if find_violations(cursor, check)[1]:
                yield check.name

"""Opening entries: they bring the ledger to the state that it would have if it had existed from the beginning."""

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from channels.base import DisputeState, RefundState
from gateway.models import Payment
from gateway.services.channel_updates.refunds import apply_refund_update
from ledger.models import LedgerTransfer
from tests.gateway.test_late_payments import build_refund_update
from tests.ledger.test_postings import SIMULATOR, balances, dispute, posted
from tests.support import background, bank
from tests.support.auditing import _audited, findings  # noqa: F401
from tests.support.shop import authorized, cancel, capture, data, error, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

TABLES = ("ledger_entries", "ledger_rollup_queue", "ledger_transfers")


def forget_ledger(condition: str = "true") -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        chosen = f"SELECT id FROM ledger_transfers WHERE {condition}"
        for table in TABLES:
            column = "id" if table == "ledger_transfers" else "transfer_id"
            cursor.execute(f"DELETE FROM {table} WHERE {column} IN ({chosen})")


def open_ledger(capsys: pytest.CaptureFixture[str]) -> str:
    call_command("open_ledger")
    return capsys.readouterr().out


def test_all_earlier_events_get_opening_entries(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    refunded = paid(client, "refund_pending:0")
    data(refund(client, refunded, 1_000))
    bank.settle_due_payments()
    bank.deliver_webhooks(refunded["payment_no"])
    declined = paid(client, "refund_declined")
    error(refund(client, declined, 4_000), 402, "refund_declined")
    disputed = paid(client)
    dispute(disputed, DisputeState.NEEDS_RESPONSE)
    partly = authorized(client)
    data(capture(client, partly, amount=3_000))
    late = opened(client)
    data(cancel(client, late))
    bank.pay_closed_payment(late)
    bank.deliver_webhooks(late["payment_no"])
    background.finish()
    opened(client)
    before = balances()
    forget_ledger()
    assert findings(), "the integrity checks notice an empty ledger"
    assert open_ledger(capsys) == "5 payments got opening entries.\n"
    assert balances() == before
    assert set(LedgerTransfer.objects.values_list("is_opening", flat=True)) == {True}
    count = len(posted())
    assert open_ledger(capsys) == "0 payments got opening entries.\n"
    assert len(posted()) == count


def test_a_refund_that_was_open_is_settled_after_the_opening(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = paid(client, "refund_pending:0")
    data(refund(client, payment, 4_000))
    forget_ledger()
    open_ledger(capsys)
    assert posted() == [("payment.captured", "single"), ("refund.requested", "pending")]
    bank.settle_due_payments()
    bank.deliver_webhooks(payment["payment_no"])
    assert posted()[-1] == ("refund.succeeded", "post")


def test_a_refund_that_is_settled_before_the_opening(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The platform runs between the migration and the command."""
    payment = paid(client, "refund_pending:0")
    data(refund(client, payment, 4_000))
    forget_ledger()
    bank.settle_due_payments()
    bank.deliver_webhooks(payment["payment_no"])
    assert posted() == [("refund.succeeded", "single")], "nothing was pending"
    open_ledger(capsys)
    assert balances() == {"channel_receivable": 6_000, "merchant_payable": -10_000, "refunds": 4_000}


def test_a_capture_after_the_migration(client: SignedClient, capsys: pytest.CaptureFixture[str]) -> None:
    payment = authorized(client)
    data(capture(client, payment, amount=3_000, final_capture=False))
    forget_ledger()
    data(capture(client, payment, amount=2_000))
    open_ledger(capsys)
    assert balances() == {"channel_receivable": 5_000, "merchant_payable": -5_000}


def test_a_refund_that_an_older_release_settled(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = paid(client, "refund_pending:0")
    data(refund(client, payment, 4_000))
    bank.settle_due_payments()
    bank.deliver_webhooks(payment["payment_no"])
    error(refund(client, paid(client, "refund_declined"), 4_000), 402, "refund_declined")
    before, settled = balances(), posted()
    forget_ledger("event IN ('refund.succeeded', 'refund.failed')")
    assert balances("pending"), "this release requested both"
    assert open_ledger(capsys) == "2 payments got opening entries.\n"
    assert (balances(), balances("pending"), sorted(posted())) == (before, {}, sorted(settled))
    assert open_ledger(capsys) == "0 payments got opening entries.\n"


@pytest.mark.parametrize("succeeds_again", [False, True])
def test_a_refund_whose_outcome_an_older_release_changed(
    client: SignedClient, capsys: pytest.CaptureFixture[str], succeeds_again: bool
) -> None:
    payment = paid(client)
    created_refund = data(refund(client, payment, 4_000))
    if succeeds_again:
        for state in (RefundState.FAILED, RefundState.SUCCEEDED):
            update = build_refund_update(created_refund, state)
            apply_refund_update(update=update, source=SIMULATOR, is_current=True)
    else:
        bank.return_refund(created_refund["refund_no"])
        bank.deliver_webhooks(payment["payment_no"])
    before = balances()
    last = LedgerTransfer.objects.latest("created_at")
    forget_ledger(f"id = '{last.id}'")
    assert balances() != before
    open_ledger(capsys)
    assert balances() == before


def test_a_dispute_that_is_won_after_the_migration(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = paid(client)
    dispute(payment, DisputeState.NEEDS_RESPONSE)
    forget_ledger()
    dispute(payment, DisputeState.WON)
    assert posted() == [("dispute.reinstated", "single")]
    open_ledger(capsys)
    assert balances() == {"channel_receivable": 10_000, "merchant_payable": -10_000}


def test_an_older_release_captures_as_much_as_this_one(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = authorized(client)
    data(capture(client, payment, amount=3_000, final_capture=False))
    data(capture(client, payment, amount=3_000))
    forget_ledger("sequence = 6000")
    open_ledger(capsys)
    assert balances() == {"channel_receivable": 6_000, "merchant_payable": -6_000}


def test_a_payment_that_fails_does_not_stop_the_others(
    client: SignedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = paid(client)
    forget_ledger()
    open_ledger(capsys)
    paid(client)
    forget_ledger(f"source <> '{failing['payment_no']}'")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM ledger_entries")
    with pytest.raises(SystemExit) as stopped:
        call_command("open_ledger")
    output = capsys.readouterr()
    assert stopped.value.code == 1
    assert output.out == "1 payments got opening entries.\n"
    assert "ledger_event_once" in output.err
    assert str(Payment.objects.get(payment_no=failing["payment_no"]).id) in output.err
    forget_ledger()
    assert open_ledger(capsys) == "2 payments got opening entries.\n"

"""Opening entries: after them, the ledger is as if it had existed from the beginning."""

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from channels.base import DisputeState
from ledger.models import LedgerTransfer
from tests.ledger.test_postings import balances, dispute, posted
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


def test_everything_that_happened_is_opened(client: SignedClient, capsys: pytest.CaptureFixture[str]) -> None:
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

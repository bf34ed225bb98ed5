"""The postings of each event, through the API and the simulated bank."""

import pytest
from django.db import IntegrityError, connection, transaction

from channels.base import ChannelDispute, ChannelDisputeReason, ChannelDisputeStage, DisputeState, RefundState
from gateway.models import Payment, Refund
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.state_machine.ledger_postings import post_captured_money, post_requested_refund
from gateway.update_source import UpdateSource
from ledger.models import LedgerTransfer, TransferEntry
from tests.gateway.test_late_payments import build_refund_update
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, authorized, cancel, capture, data, error, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

RECEIVABLE, PAYABLE, REFUNDS, DISPUTES = "channel_receivable", "merchant_payable", "refunds", "disputes"
SIMULATOR = UpdateSource("simulator")


def posted() -> list[tuple[str, str]]:
    return list(LedgerTransfer.objects.order_by("created_at", "id").values_list("event", "kind"))


def balances(phase: str = "posted") -> dict[str, int]:
    """Returns debits less credits of each kind of account."""
    found: dict[str, int] = {}
    for entry in TransferEntry.objects.filter(phase=phase).select_related("account"):
        sign = 1 if entry.direction == "debit" else -1
        found[entry.account.kind] = found.get(entry.account.kind, 0) + sign * entry.amount_minor
    return {kind: amount for kind, amount in found.items() if amount}


def test_a_payment_is_posted_when_it_succeeds(client: SignedClient) -> None:
    opened(client)
    assert posted() == []
    payment = paid(client)
    bank.deliver_webhooks(payment["payment_no"])
    assert posted() == [("payment.captured", "single")]
    assert balances() == {RECEIVABLE: 10_000, PAYABLE: -10_000}


def test_each_capture_is_posted(client: SignedClient) -> None:
    payment = authorized(client)
    assert posted() == []
    data(capture(client, payment, amount=3_000, final_capture=False))
    data(capture(client, payment, amount=2_000))
    amounts = LedgerTransfer.objects.filter(event="payment.captured").order_by("sequence")
    assert list(amounts.values_list("sequence", flat=True)) == [3_000, 5_000]
    assert balances() == {RECEIVABLE: 5_000, PAYABLE: -5_000}


def test_a_refund_is_pending_and_then_posted(client: SignedClient) -> None:
    payment = paid(client, "refund_pending:0")
    data(refund(client, payment, 4_000))
    assert balances("pending") == {REFUNDS: 4_000, RECEIVABLE: -4_000}
    assert balances()[RECEIVABLE] == 10_000
    bank.settle_due_payments()
    bank.deliver_webhooks(payment["payment_no"])
    assert posted()[1:] == [("refund.requested", "pending"), ("refund.succeeded", "post")]
    assert balances("pending") == {}
    assert balances() == {RECEIVABLE: 6_000, PAYABLE: -10_000, REFUNDS: 4_000}


def test_a_failed_refund_is_voided(client: SignedClient) -> None:
    payment = paid(client, "refund_declined")
    error(refund(client, payment, 4_000), 402, "refund_declined")
    assert posted()[1:] == [("refund.requested", "pending"), ("refund.failed", "void")]
    assert balances("pending") == {}
    assert balances() == {RECEIVABLE: 10_000, PAYABLE: -10_000}


def test_a_refund_that_changes_its_outcome_again_and_again(client: SignedClient) -> None:
    payment = paid(client)
    created_refund = data(refund(client, payment, 4_000))
    for _ in range(2):
        for state in (RefundState.FAILED, RefundState.SUCCEEDED):
            update = build_refund_update(created_refund, state)
            assert apply_refund_update(update=update, source=SIMULATOR, is_current=True) == "applied"
    events = [event for event, _kind in posted()[2:]]
    assert events == ["refund.succeeded", *["refund.reversed", "refund.succeeded"] * 2]
    assert balances() == {RECEIVABLE: 6_000, PAYABLE: -10_000, REFUNDS: 4_000}


def test_a_late_payment_is_posted_and_refunded(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    events = [event for event, _kind in posted()]
    assert events == ["payment.late", "refund.requested", "refund.succeeded"]
    assert balances() == {PAYABLE: -10_000, REFUNDS: 10_000}


def dispute(
    payment: Body,
    state: DisputeState,
    amount_minor: int = 10_000,
    *,
    stage: ChannelDisputeStage = ChannelDisputeStage.CHARGEBACK,
    number: str = "dp_1",
    currency: str = "USD",
) -> None:
    update = ChannelDispute(
        environment="test",
        channel_dispute_no=number,
        channel_trade_no="",
        state=state,
        amount_minor=amount_minor,
        currency=currency,
        reason=ChannelDisputeReason.FRAUDULENT,
        channel_reason="fraudulent",
        stage=stage,
    )
    with transaction.atomic():
        apply_dispute_update(update=update, source=SIMULATOR, payment_reference=payment["payment_no"])


def test_a_dispute_withdraws_money_and_gives_it_back(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, DisputeState.NEEDS_RESPONSE, stage=ChannelDisputeStage.INQUIRY)
    assert len(posted()) == 1, "an inquiry takes no money"
    for _ in range(2):
        dispute(payment, DisputeState.NEEDS_RESPONSE)
    assert balances() == {PAYABLE: -10_000, DISPUTES: 10_000}
    dispute(payment, DisputeState.WON)
    assert [event for event, _kind in posted()[1:]] == ["dispute.withdrawn", "dispute.reinstated"]
    assert balances() == {RECEIVABLE: 10_000, PAYABLE: -10_000}


def test_a_disputed_amount_that_changes(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, DisputeState.NEEDS_RESPONSE, 5_000)
    dispute(payment, DisputeState.UNDER_REVIEW, 4_000)
    dispute(payment, DisputeState.LOST, 4_000)
    assert balances() == {RECEIVABLE: 6_000, PAYABLE: -10_000, DISPUTES: 4_000}


def test_no_event_is_posted_twice(client: SignedClient) -> None:
    payment = paid(client)
    data(refund(client, payment, 4_000))
    before = posted()
    row, created_refund = Payment.objects.get(), Refund.objects.get()
    for repeat in (
        lambda: post_captured_money(payment=row, captured_before_minor=0),
        lambda: post_requested_refund(created_refund),
    ):
        with pytest.raises(IntegrityError, match="ledger_event_once"), transaction.atomic():
            repeat()
    assert posted() == before


def test_a_posting_is_one_statement_and_opens_each_account_once(client: SignedClient) -> None:
    paid(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT kind FROM ledger_accounts ORDER BY kind")
        assert [kind for (kind,) in cursor.fetchall()] == [RECEIVABLE, PAYABLE]
    paid(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_accounts")
        assert cursor.fetchone() == (2,)

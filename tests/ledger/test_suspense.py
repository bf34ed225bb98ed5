"""Money that a channel takes beyond the payment's amount enters suspense and leaves it, for every order of events.

The fixture `_audited` runs all integrity checks after each test.
"""

import pytest
from django.db import IntegrityError, transaction

from channels.base import (
    ChannelDispute,
    ChannelDisputeReason,
    ChannelDisputeStage,
    ChannelRefund,
    DisputeState,
    RefundState,
)
from channels.simulator import bank as the_bank
from events.models import OutboxEvent
from gateway import state_machine
from gateway.models import Dispute, Payment, PaymentAttempt, PaymentReview, Refund, SuspenseItem
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.update_source import UpdateSource
from tests.gateway.test_late_payments import banks, fail_over, pay_earlier_attempt  # noqa: F401
from tests.ledger.test_postings import (
    DISPUTES,
    PAYABLE,
    RECEIVABLE,
    REFUNDS,
    SIMULATOR,
    balances,
    dispute,
    posted,
)
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, cancel, data, error, get_payment, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

NEEDS_RESPONSE, WON, LOST, CLOSED = (
    DisputeState.NEEDS_RESPONSE,
    DisputeState.WON,
    DisputeState.LOST,
    DisputeState.CLOSED,
)
SUSPENSE = "suspense"


def dashboard_refund(
    payment: Body, amount_minor: int, state: RefundState = RefundState.SUCCEEDED, currency: str = "USD"
) -> None:
    update = ChannelRefund(
        reference="",
        channel_refund_no="re_1",
        state=state,
        amount_minor=amount_minor,
        currency=currency,
        environment="test",
        payment_reference=str(payment["payment_no"]),
    )
    with transaction.atomic():
        apply_refund_update(update=update, source=SIMULATOR, payment_reference=str(payment["payment_no"]))


def open_codes() -> list[str]:
    return sorted(PaymentReview.objects.filter(resolved_at=None).values_list("code", flat=True))


def amounts(payment: Body) -> tuple[int, int, int]:
    row = Payment.objects.get(payment_no=payment["payment_no"])
    return row.disputed_minor, row.suspense_minor, row.refundable_minor


def test_the_database_refuses_to_refund_disputed_money(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, NEEDS_RESPONSE, 6_000)
    with pytest.raises(IntegrityError, match="payment_money_adds_up"):
        Payment.objects.update(refund_pending_minor=4_001)


def test_a_dispute_after_a_full_refund(client: SignedClient) -> None:
    payment = paid(client)
    refund(client, payment, 10_000)
    dispute(payment, NEEDS_RESPONSE)
    assert amounts(payment) == (0, 10_000, 0)
    assert balances() == {RECEIVABLE: -10_000, PAYABLE: -10_000, REFUNDS: 10_000, SUSPENSE: 10_000}
    assert open_codes() == ["dispute", "dispute_excess"]
    dispute(payment, WON)
    assert amounts(payment) == (0, 0, 0)
    assert balances() == {PAYABLE: -10_000, REFUNDS: 10_000}
    assert open_codes() == ["dispute"]


def test_a_dispute_is_won_then_lost_then_won(client: SignedClient) -> None:
    payment = paid(client)
    refund(client, payment, 7_000)
    for state, held in (
        (NEEDS_RESPONSE, (3_000, 7_000, 0)),
        (NEEDS_RESPONSE, (3_000, 7_000, 0)),
        (WON, (0, 0, 3_000)),
        (LOST, (3_000, 7_000, 0)),
        (WON, (0, 0, 3_000)),
    ):
        dispute(payment, state)
        assert amounts(payment) == held
    assert [event for event, _kind in posted()[3:]] == ["dispute.withdrawn", "dispute.reinstated"] * 2
    assert list(
        OutboxEvent.objects.filter(type__startswith="dispute").order_by("id").values_list("type", flat=True)
    ) == [
        "dispute.created",
        "dispute.won",
        "dispute.lost",
        "dispute.won",
    ]


def test_two_disputes_exceed_the_payment_until_one_is_won(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, NEEDS_RESPONSE, 6_000, number="dp_1")
    dispute(payment, NEEDS_RESPONSE, 6_000, number="dp_2")
    assert amounts(payment) == (10_000, 2_000, 0)
    dispute(payment, WON, 6_000, number="dp_1")
    assert amounts(payment) == (6_000, 0, 4_000)
    assert balances() == {RECEIVABLE: 4_000, PAYABLE: -10_000, DISPUTES: 6_000}
    assert "dispute.rebooked" in [event for event, _kind in posted()[-2:]], "both disputes have the same time"


def test_a_dispute_before_the_payment_is_known_to_be_captured(client: SignedClient) -> None:
    payment = opened(client)
    dispute(payment, NEEDS_RESPONSE, 4_000)
    assert amounts(payment) == (0, 4_000, 0)
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert amounts(payment) == (4_000, 0, 6_000)
    assert balances() == {RECEIVABLE: 6_000, PAYABLE: -10_000, DISPUTES: 4_000}
    assert open_codes() == ["dispute"]


def test_a_dispute_before_a_late_payment(client: SignedClient) -> None:
    payment = opened(client)
    data(cancel(client, payment))
    dispute(payment, NEEDS_RESPONSE)
    bank.pay_closed_payment(payment)
    assert bank.deliver_webhooks(payment["payment_no"])[-1] == "late_money"
    assert amounts(payment) == (10_000, 0, 0)
    assert not Refund.objects.exists()
    assert open_codes() == ["dispute", "late_payment"]
    assert balances() == {PAYABLE: -10_000, DISPUTES: 10_000}


@pytest.mark.parametrize(("disputed_minor", "refunded_minor"), [(4_000, 6_000), (10_000, 0)])
@pytest.mark.usefixtures("banks")
def test_a_dispute_before_a_duplicate_payment(
    client: SignedClient, disputed_minor: int, refunded_minor: int
) -> None:
    payment = fail_over(client)
    update = ChannelDispute(
        environment="test",
        channel_dispute_no="dp_1",
        channel_trade_no="",
        state=NEEDS_RESPONSE,
        amount_minor=disputed_minor,
        currency="USD",
        reason=ChannelDisputeReason.FRAUDULENT,
        channel_reason="fraudulent",
        stage=ChannelDisputeStage.CHARGEBACK,
    )
    with transaction.atomic():
        apply_dispute_update(
            update=update, source=UpdateSource("north"), payment_reference=payment["payment_no"]
        )
    assert Dispute.objects.get().suspense_minor == disputed_minor
    assert pay_earlier_attempt(payment) == "late_money"
    background.finish()
    attempt = PaymentAttempt.objects.get(number=1)
    assert (attempt.duplicate_disputed_minor, attempt.duplicate_refunded_minor) == (
        disputed_minor,
        refunded_minor,
    )
    assert Dispute.objects.get().suspense_minor == 0
    assert open_codes() == (["dispute"] if refunded_minor else ["dispute", "duplicate_payment"])


def test_a_dispute_in_another_currency_before_the_payment_is_known_to_be_captured(
    client: SignedClient,
) -> None:
    payment = opened(client)
    dispute(payment, NEEDS_RESPONSE, 9_000, currency="EUR")
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert amounts(payment) == (10_000, 0, 0)


def test_a_dispute_in_another_currency_blocks_all_and_is_in_suspense(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, NEEDS_RESPONSE, 9_000, currency="EUR")
    assert amounts(payment) == (10_000, 0, 0)
    error(refund(client, payment, 1), 409, "payment_disputed")
    assert Dispute.objects.get().suspense_minor == 9_000
    dispute(payment, CLOSED, 9_000, currency="EUR")
    assert amounts(payment) == (0, 0, 10_000)
    assert balances() == {RECEIVABLE: 10_000, PAYABLE: -10_000}


def test_a_refund_in_the_console_during_a_dispute(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, NEEDS_RESPONSE)
    assert the_bank.refund_at_bank(payment["payment_no"], 10_000)
    for _ in range(2):
        bank.deliver_webhooks(payment["payment_no"])
    assert amounts(payment) == (10_000, 10_000, 0)
    assert SuspenseItem.objects.get().status == "open"
    assert open_codes() == ["channel_refund", "dispute"]
    dispute(payment, WON)
    bank.deliver_webhooks(payment["payment_no"])
    assert SuspenseItem.objects.get().status == "booked"
    assert get_payment(client, payment)["refunded_amount"] == 10_000
    assert balances() == {PAYABLE: -10_000, REFUNDS: 10_000}
    assert open_codes() == ["dispute"]


def test_a_refund_in_suspense_that_fails(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, NEEDS_RESPONSE, 8_000)
    dashboard_refund(payment, 5_000)
    dashboard_refund(payment, 5_000, RefundState.FAILED)
    dashboard_refund(payment, 5_000)
    assert SuspenseItem.objects.get().status == "returned"
    assert amounts(payment) == (8_000, 0, 2_000)
    assert balances() == {RECEIVABLE: 2_000, PAYABLE: -10_000, DISPUTES: 8_000}


def test_a_refund_in_another_currency(client: SignedClient) -> None:
    payment = paid(client)
    dashboard_refund(payment, 700, currency="EUR")
    assert amounts(payment) == (0, 0, 10_000)
    assert balances() == {RECEIVABLE: 9_300, PAYABLE: -10_000, SUSPENSE: 700}


def test_staff_charge_the_merchant_and_the_money_comes_back(client: SignedClient) -> None:
    payment = paid(client)
    refund(client, payment, 9_000)
    dispute(payment, NEEDS_RESPONSE, 5_000)
    dashboard_refund(payment, 2_000)
    row = Payment.objects.get()
    with transaction.atomic():
        locked = Payment.objects.select_for_update().get()
        assert state_machine.charge_suspense(payment=locked, actor="ana", reason="agreed") == 2
    assert amounts(payment) == (1_000, 0, 0)
    assert balances() == {RECEIVABLE: -6_000, PAYABLE: -10_000, REFUNDS: 11_000, DISPUTES: 5_000}
    assert open_codes() == ["dispute"]
    dashboard_refund(payment, 2_000, RefundState.FAILED)
    dispute(payment, WON, 5_000)
    assert amounts(payment) == (0, 0, 1_000)
    assert balances() == {RECEIVABLE: 1_000, PAYABLE: -10_000, REFUNDS: 9_000}
    assert row.captured_minor == 10_000


def test_a_dispute_only_goes_forward(client: SignedClient) -> None:
    payment = paid(client)
    dispute(payment, CLOSED, stage=ChannelDisputeStage.INQUIRY)
    dispute(payment, NEEDS_RESPONSE, stage=ChannelDisputeStage.CHARGEBACK)
    dispute(payment, NEEDS_RESPONSE, stage=ChannelDisputeStage.INQUIRY)
    assert amounts(payment) == (10_000, 0, 0)
    dispute(payment, WON)
    dispute(payment, NEEDS_RESPONSE)
    dispute(payment, NEEDS_RESPONSE, stage=ChannelDisputeStage.PRE_ARBITRATION)
    row = Dispute.objects.get()
    assert (row.status, row.stage, row.closed_at) == ("needs_response", "pre_arbitration", None)
    with pytest.raises(IntegrityError, match="cannot become"):
        Dispute.objects.update(stage="chargeback")

"""The month of the benchmark: its payments have the same ledger rows as payments of the platform, and the parsers read
its statements."""

import datetime as dt
import uuid
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection, transaction

from benchmarks.month import CHECKS
from benchmarks.month_errors import plant_errors
from benchmarks.month_ledger import Month, build_terms, load
from benchmarks.month_payments import MONTH, MonthPayment, build_payment, list_movements
from benchmarks.month_statements import FORMATS, report, write_statements
from channels.base import DisputeState, RefundState
from fees.models import FeePlan
from fees.services.plans import add_version, assign_plan
from gateway.models import Payment
from gateway.services.channel_updates.refunds import apply_refund_update
from ledger.models import LedgerTransfer, TransferEntry
from merchants.services import NewMerchant
from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from settlements.models import StatementExpectation, StatementFormat
from settlements.parsers.base import ParsedLine, PayoutItem, StatementIdentity
from settlements.parsers.registry import PARSERS
from settlements.services.expectations import collect_expectations
from settlements.services.importing import record_empty_day
from tests.gateway.test_late_payments import build_refund_update
from tests.ledger.test_postings import SIMULATOR, dispute
from tests.support import background, bank
from tests.support.shop import Body, cancel, data, error, opened, paid, refund
from tests.support.signing import SignedClient

AMOUNT = 10_001
SCENARIOS = (
    "plain",
    "refunded",
    "refunded in parts",
    "refund failed",
    "late",
    "dispute lost",
    "dispute won",
    "refund returned",
)


def play(client: SignedClient, scenario: str) -> uuid.UUID:
    """Makes a payment of this scenario through the API and the simulated bank."""
    if scenario == "late":
        payment = opened(client, amount=AMOUNT)
        data(cancel(client, payment))
        bank.pay_closed_payment(payment)
        bank.deliver_webhooks(payment["payment_no"])
        background.finish()
    else:
        payment = paid(client, "refund_declined" if scenario == "refund failed" else "", amount=AMOUNT)
        play_on(client, payment, scenario)
    found: uuid.UUID = Payment.objects.get(payment_no=payment["payment_no"]).pk
    return found


def play_on(client: SignedClient, payment: Body, scenario: str) -> None:
    match scenario:
        case "refunded":
            data(refund(client, payment, AMOUNT))
        case "refunded in parts":
            data(refund(client, payment, AMOUNT // 3))
            data(refund(client, payment, AMOUNT - AMOUNT // 3))
        case "refund failed":
            error(refund(client, payment, AMOUNT), 402, "refund_declined")
        case "refund returned":
            created_refund = data(refund(client, payment, AMOUNT // 3))
            update = build_refund_update(created_refund, RefundState.FAILED)
            apply_refund_update(update=update, source=SIMULATOR, is_current=True)
        case "dispute lost" | "dispute won":
            number = f"dp_{payment['payment_no']}"
            dispute(payment, DisputeState.NEEDS_RESPONSE, AMOUNT, number=number)
            state = DisputeState.LOST if scenario == "dispute lost" else DisputeState.WON
            dispute(payment, state, AMOUNT, number=number)


def describe(payment_id: uuid.UUID) -> list[object]:
    """Returns the rows of the payment and the ledger, without ids, numbers and times."""
    payment = Payment.objects.get(pk=payment_id)
    amounts = (payment.captured_minor, payment.refunded_minor, payment.refund_pending_minor)
    described: list[object] = [amounts, payment.disputed_minor, payment.suspense_minor]
    transfers = LedgerTransfer.objects.filter(payment_id=payment_id).select_related("pending")
    for each in transfers.order_by("created_at", "id"):
        entries = TransferEntry.objects.filter(transfer=each).order_by("leg")
        described += [
            (each.event, each.kind, each.sequence, each.leg_count, each.merchant_id, each.currency),
            (each.source[:4], each.environment, each.is_opening, each.fee_basis),
            (each.subject_id == payment_id, each.pending.event if each.pending else None),
            list(entries.values_list("leg", "account_id", "phase", "direction", "amount_minor")),
        ]
    return described


def expectations(payment_id: uuid.UUID) -> list[tuple[object, ...]]:
    entries = TransferEntry.objects.filter(transfer__payment_id=payment_id)
    found = StatementExpectation.objects.filter(entry__in=entries.values("id")).order_by(
        "occurred_at", "entry_id"
    )
    return [
        (each.kind, each.amount_minor, each.currency, each.reference[:4], bool(each.channel_no))
        for each in found
    ]


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_the_loaded_rows_are_those_that_the_platform_posts(
    acme: NewMerchant, client: SignedClient, subtests: pytest.Subtests
) -> None:
    with transaction.atomic():
        version = add_version(plan_name="Month", terms=build_terms(), valid_from=None)
        assign_plan(merchant=acme.merchant, plan=FeePlan.objects.get(), valid_from=None)
    played = {scenario: play(client, scenario) for scenario in SCENARIOS}
    month = Month("test", [acme.merchant.pk], version.pk)
    load(month, iter([build(number, scenario) for number, scenario in enumerate(SCENARIOS)]))
    loaded = {
        scenario: Payment.objects.get(order_no=f"ORDER-{number}").pk
        for number, scenario in enumerate(SCENARIOS)
    }
    identity = StatementIdentity("simulator", "test", None, MONTH.date())
    with transaction.atomic():
        record_empty_day(format=StatementFormat.CSV, identity=identity)
        collect_expectations(identity, MONTH)
    for scenario in SCENARIOS:
        with subtests.test(scenario):
            assert describe(loaded[scenario]) == describe(played[scenario])
            assert expectations(loaded[scenario]) == expectations(played[scenario])
            moved = [(each.kind, each.amount_minor) for each in list_movements(build(0, scenario))]
            assert [each[:2] for each in expectations(loaded[scenario])] == moved

    with connection.cursor() as cursor:
        for name in CHECKS:
            assert find_violations(cursor, registry.find_check(name)) == ([], 0), name


def build(number: int, scenario: str) -> MonthPayment:
    paid_at = MONTH + dt.timedelta(days=number)
    return MonthPayment(number, "simulator", "USD", AMOUNT, 0, paid_at, scenario, 5)


@pytest.mark.parametrize("channel", FORMATS)
def test_the_parsers_read_what_the_generators_write(channel: str, tmp_path: Path) -> None:
    payments = [build_payment(number, 800) for number in range(800)]
    lines = [line for each in payments if each.channel == channel for line in report(each)]
    reported, planted = plant_errors(lines, channel, 1)
    assert len({each.kind for each in planted}) == (6 if channel in ("wechat", "alipay") else 7)
    added: Counter[str] = Counter()
    items = 0
    for each in write_statements(tmp_path, channel, "live", reported):
        identity = StatementIdentity(channel, "live", None, each.day)
        with each.path.open("rb") as file:
            for parsed in PARSERS[StatementFormat(each.format)](file, identity):
                items += isinstance(parsed, PayoutItem)
                if isinstance(parsed, ParsedLine):
                    added[parsed.kind.value] += parsed.gross_minor
                    added[f"{parsed.kind.value} fees"] += parsed.fee_minor
    assert (items > 0) == (channel == "stripe")
    expected: Counter[str] = Counter()
    for line in reported:
        expected[line.kind] += line.gross_minor
        expected[f"{line.kind} fees"] += line.fee_minor
    assert {kind: added[kind] for kind in expected} == dict(expected)

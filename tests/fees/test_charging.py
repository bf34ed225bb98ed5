"""The platform's fees of captures and refunds, through the API and the simulated bank, to the cent in the ledger."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils.translation import override

from channels.base import DisputeState, RefundState
from common.errors import OperationRefused
from fees.formula import RefundRule, Terms, Tier
from fees.models import FeePlanAssignment, FeePlanVersion
from fees.services.plans import add_version
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.update_source import UpdateSource
from ledger.balances import roll_up
from ledger.models import LedgerTransfer, TransferEntry
from merchants.models import Merchant
from tests.fees.test_checks import FEE_LEGS, begin_earlier, mutate, violations
from tests.gateway.test_channel_accounts import add_account
from tests.gateway.test_late_payments import build_refund_update, declined_refund
from tests.ledger.test_postings import dispute
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.fee_plans import give_plan, rate
from tests.support.fixtures import NewMerchant
from tests.support.shop import authorized, cancel, capture, data, error, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

SIMULATOR = UpdateSource("simulator")


def platform_fees() -> int:
    """Returns the fees charged to the merchant, less returned fees. The platform must have earned the same."""
    sums = {"platform_fees": 0, "fee_income": 0}
    for entry in TransferEntry.objects.filter(account__kind__in=sums).select_related("account"):
        sums[entry.account.kind] += entry.amount_minor if entry.direction == "debit" else -entry.amount_minor
    assert sums["platform_fees"] == -sums["fee_income"]
    return sums["platform_fees"]


def available(client: SignedClient) -> int:
    (found,) = data(client.get("/api/v1/balance"))["available"]
    return found["amount"]


def bases() -> list[dict[str, Any]]:
    found = LedgerTransfer.objects.filter(fee_basis__isnull=False).order_by("created_at", "id")
    return list(found.values_list("fee_basis", flat=True))


def test_a_capture_is_charged_and_can_be_proven(client: SignedClient) -> None:
    version = give_plan()
    payment = paid(client)
    assert platform_fees() == 320
    assert available(client) == 9_680
    (basis,) = bases()
    assert basis == {
        "plan_version": str(version.id),
        "rate_number": 0,
        "rate": rate().as_json(),
        "refund_rule": "proportional",
        "volume_before_minor": 0,
        "captured_minor": 10_000,
        "fee_minor": 320,
    }
    (listed,) = data(client.get("/api/v1/balance-transactions"))["items"]
    assert (listed["amount"], listed["fee"], listed["net"]) == (10_000, 320, 9_680)
    assert listed["fee_details"] == [{"type": "platform_fee", "amount": 320, "currency": "USD"}]
    assert listed["source"] == payment["payment_no"]


def test_a_merchant_without_a_plan_pays_nothing(client: SignedClient, other_client: SignedClient) -> None:
    merchants = Merchant.objects.order_by("name")
    give_plan(merchant=merchants.get(name="Other"))
    paid(client)
    assert (platform_fees(), bases()) == (0, [])
    paid(other_client)
    assert platform_fees() == 320


def test_a_payment_that_no_rate_matches_has_no_fee(client: SignedClient) -> None:
    give_plan(rate(payment_method="card"), rate(currency="JPY"))
    paid(client)
    assert platform_fees() == 0
    assert [basis["rate"] for basis in bases()] == [None]
    paid(client, currency="JPY", amount=1_000)
    assert platform_fees() == 59


def test_several_captures_pay_the_fixed_part_once(client: SignedClient) -> None:
    give_plan()
    payment = authorized(client)
    data(capture(client, payment, amount=3_000, final_capture=False))
    assert platform_fees() == 117
    give_plan(rate(500_000, 999))  # a later version does not change a payment that has begun
    data(capture(client, payment, amount=2_000))
    assert platform_fees() == 175, "2.9 % of 50.00 and 0.30"
    assert [basis["captured_minor"] for basis in bases()] == [3_000, 5_000]


def test_the_next_version_is_for_the_next_payment(client: SignedClient) -> None:
    give_plan()
    paid(client)
    give_plan(rate(10_000, 0))
    paid(client)
    assert platform_fees() == 320 + 100
    assert [version.number for version in FeePlanVersion.objects.order_by("number")] == [1, 2]


def test_tiers_count_the_volume_of_the_month(client: SignedClient) -> None:
    give_plan(rate(fixed_minor=0, tiers=(Tier(0, 30_000), Tier(15_000, 10_000))))
    paid(client)
    assert roll_up() == 1
    paid(client)
    paid(client)
    assert [basis["volume_before_minor"] for basis in bases()] == [0, 10_000, 20_000]
    assert [basis["fee_minor"] for basis in bases()] == [300, 150 + 50, 100]
    assert platform_fees() == 600


def test_an_account_without_a_merchant_is_the_platforms(client: SignedClient, acme: NewMerchant) -> None:
    """Payments at it are charged, count for the tiers and pass the checks. A payment at the merchant's own account is
    not charged."""
    give_plan(rate(fixed_minor=0, tiers=(Tier(0, 30_000), Tier(15_000, 10_000))))
    begin_earlier()
    paid(client)
    shared = add_account(None)
    assert paid(client)["channel_account"] == str(shared.id)
    roll_up()
    payment = paid(client)
    assert [basis["fee_minor"] for basis in bases()] == [300, 150 + 50, 100]
    assert [basis["volume_before_minor"] for basis in bases()] == [0, 10_000, 20_000]
    add_account(acme.merchant.pk)
    paid(client)
    assert platform_fees() == 600
    data(refund(client, payment, 10_000))
    assert platform_fees() == 500
    assert violations() == []
    with transaction.atomic():
        mutate(f"DELETE FROM ledger_entries WHERE {FEE_LEGS.format('payment.captured')}")
        mutate("DELETE FROM ledger_transfers WHERE event LIKE 'refund.%'")
        mutate("UPDATE ledger_transfers SET fee_basis = NULL")
        found = [problem for problem in violations() if "no fee was computed" in problem]
        transaction.set_rollback(True)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("rule", "left"),
    [(RefundRule.KEEP, 320), (RefundRule.PROPORTIONAL, 0), (RefundRule.KEEP_FIXED, 30)],
)
def test_partial_refunds_lose_no_cent(client: SignedClient, rule: RefundRule, left: int) -> None:
    give_plan(rule=rule)
    payment = paid(client)
    for amount in (3_333, 3_333, 3_334):
        data(refund(client, payment, amount))
    assert platform_fees() == left
    assert available(client) == -left


def test_a_fee_is_never_more_than_the_amount(client: SignedClient) -> None:
    give_plan(rate(0, 500))
    payment = paid(client, amount=200)
    assert (platform_fees(), available(client)) == (200, 0)
    data(refund(client, payment, 200))
    assert (platform_fees(), available(client)) == (0, 0)


def test_a_refund_that_fails_later_posts_the_fee_back(client: SignedClient) -> None:
    give_plan()
    payment = paid(client)
    created_refund = data(refund(client, payment, 5_000))
    assert platform_fees() == 160
    for state, expected in ((RefundState.FAILED, 320), (RefundState.SUCCEEDED, 160)) * 2:
        update = build_refund_update(created_refund, state)
        assert apply_refund_update(update=update, source=SIMULATOR, is_current=True) == "applied"
        assert platform_fees() == expected
    data(refund(client, payment, 5_000))
    assert platform_fees() == 0


def test_the_rest_of_a_refund_that_was_in_suspense_gives_the_rest_back(client: SignedClient) -> None:
    give_plan()
    payment = paid(client, "refund_declined")
    refunded = declined_refund(client, payment, 10_000)
    dispute(payment, DisputeState.NEEDS_RESPONSE, 6_000)
    update = build_refund_update(refunded, RefundState.SUCCEEDED)
    assert apply_refund_update(update=update, source=SIMULATOR, is_current=True) == "applied"
    assert platform_fees() == 192
    dispute(payment, DisputeState.WON, 6_000)
    assert platform_fees() == 0


def test_a_declined_refund_gives_nothing_back(client: SignedClient) -> None:
    give_plan()
    payment = paid(client, "refund_declined")
    error(refund(client, payment, 4_000), 402, "refund_declined")
    assert platform_fees() == 320


def test_a_late_payment_has_no_fee(client: SignedClient) -> None:
    give_plan()
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    assert LedgerTransfer.objects.filter(event="payment.late").exists()
    assert (platform_fees(), bases()) == (0, [])


def test_a_plan_in_use_is_never_edited(client: SignedClient) -> None:
    give_plan()
    for model in (FeePlanVersion, FeePlanAssignment):
        for change in (lambda rows: rows.update(valid_from="2020-01-01T00:00Z"), lambda rows: rows.delete()):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                change(model.objects.all())


def test_a_plan_cannot_begin_in_the_past(client: SignedClient) -> None:
    version = give_plan()
    terms = Terms((rate(),), RefundRule.KEEP)
    with override("en"), pytest.raises(OperationRefused, match="is over"), transaction.atomic():
        add_version(plan_name="Standard", terms=terms, valid_from=version.valid_from)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (rate(currency="XXX"), "currency XXX"),
        (rate(fixed_minor=-1), "negative"),
        (rate(1_000_001), "from 0 to 100"),
        (rate(tiers=()), "begin at 0"),
        (rate(tiers=(Tier(0, 1), Tier(9, 1), Tier(9, 2))), "above the one before"),
        (rate(minimum_minor=9, maximum_minor=8), "maximum"),
    ],
)
def test_terms_that_cannot_be_used_are_refused(client: SignedClient, wrong: Any, text: str) -> None:
    with override("en"), pytest.raises(OperationRefused, match=text), transaction.atomic():
        add_version(plan_name="Standard", terms=Terms((wrong,), RefundRule.KEEP), valid_from=None)
    assert not FeePlanVersion.objects.exists()


def test_the_basis_cannot_be_changed(client: SignedClient) -> None:
    give_plan()
    paid(client)
    with (
        connection.cursor() as cursor,
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
    ):
        cursor.execute("UPDATE ledger_transfers SET fee_basis = NULL")

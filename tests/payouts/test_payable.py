"""The payable amount: captures count after the hold, refunds reduce it at once, and money at the merchant's own channel
account never counts."""

import pytest

from ledger.balances import roll_up
from merchants.services import NewMerchant
from payouts.payable import PayableBalance, read_payable_balances
from tests.payouts.conftest import age_ledger, give_plan
from tests.support.shop import data, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def read(merchant: NewMerchant, **plan: object) -> PayableBalance:
    (balance,) = read_payable_balances(
        plan=give_plan(merchant.merchant.id, **plan), merchant_id=merchant.merchant.id, environment="test"
    )
    return balance


def test_money_is_payable_after_its_hold(acme: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    paid(client, amount=500)
    for _rolled_up in range(2):
        balance = read(acme)
        assert (balance.payable_minor, balance.on_hold_minor, balance.total_minor) == (10_000, 500, 10_500)
        assert read(acme, hold_days=40).payable_minor == 0
        read(acme, hold_days=2)
        roll_up()


def test_a_refund_reduces_payable_at_once_and_below_zero(acme: NewMerchant, client: SignedClient) -> None:
    payment = paid(client)
    held = paid(client, amount=4_000)
    age_ledger()
    assert read(acme).payable_minor == 14_000
    paid(client, amount=700)
    data(refund(client, payment, 10_000))
    data(refund(client, held, 4_000))
    assert read(acme).payable_minor == 0
    assert read(acme).on_hold_minor == 700


def test_a_refund_of_money_on_hold_is_owed(acme: NewMerchant, client: SignedClient) -> None:
    payment = paid(client)
    data(refund(client, payment, 4_000))
    assert read(acme).payable_minor == -4_000


def test_a_reserve_is_kept_back_and_rounded_up(acme: NewMerchant, client: SignedClient) -> None:
    paid(client, amount=10_001)
    age_ledger()
    kept = read(acme, reserve_basis_points=500, reserve_days=60)
    assert (kept.reserve_minor, kept.payable_minor) == (501, 9_500)
    assert read(acme, reserve_days=20).payable_minor == 10_001

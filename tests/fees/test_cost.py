"""The number of SQL statements that a fee plan adds to the webhook of a capture."""

import pytest

from fees.formula import Tier
from tests.support import bank
from tests.support.fee_plans import give_plan, rate
from tests.support.shop import opened
from tests.support.signing import SignedClient
from tests.support.statements import cost

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def test_a_plan_costs_no_statement_and_tiers_cost_one(client: SignedClient) -> None:
    def count() -> int:
        payment = opened(client)
        webhook = bank.build_webhook(payment, state="paid", captured_minor=payment["amount"])
        with cost() as found:
            bank.read_effect(bank.send_webhook(webhook))
        return len(found.statements)

    count()  # fills caches
    without = count()
    give_plan()
    assert count() == without
    give_plan(rate(tiers=(Tier(0, 2), Tier(5, 1))))
    assert count() == without + 1

"""The checks recompute each fee from its plan, and name every mutated one."""

import pytest
from django.db import connection, transaction

from fees.formula import RefundRule, Tier
from ledger.balances import roll_up
from monitoring.integrity.fees import CHECKS
from monitoring.integrity.search import find_violations
from tests.support.fee_plans import give_plan, rate
from tests.support.shop import authorized, capture, data, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FEE_LEGS = (
    "transfer_id IN (SELECT id FROM ledger_transfers WHERE event = '{0}')"
    " AND account_id IN (SELECT id FROM ledger_accounts WHERE kind IN ('platform_fees', 'fee_income'))"
)


def violations() -> list[str]:
    with connection.cursor() as cursor:
        return [str(found) for check in CHECKS for found in find_violations(cursor, check)[0]]


def mutate(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        assert cursor.rowcount


def begin_earlier() -> None:
    """Moves the begin of the plan back, so that it was valid at the time of each capture."""
    for table in ("fee_plan_versions", "fee_plan_assignments"):
        mutate(
            f"UPDATE {table} SET created_at = created_at - interval '1 hour',"
            " valid_from = valid_from - interval '1 hour'"
        )


@pytest.fixture
def _fees(client: SignedClient) -> None:
    """Makes fees with tiers, several captures, each refund rule, and a payment that no rate matches."""
    for rule in RefundRule:
        give_plan(
            rate(tiers=(Tier(0, 29_000), Tier(5_000, 15_000)), minimum_minor=50, maximum_minor=400), rule=rule
        )
        payment = authorized(client)
        data(capture(client, payment, amount=3_000, final_capture=False))
        data(capture(client, payment, amount=2_001))
        data(refund(client, payment, 1_667))
    payment = paid(client)
    data(refund(client, payment, 3_333))
    data(refund(client, payment, 1))
    paid(client, currency="JPY", amount=500)
    begin_earlier()


@pytest.mark.usefixtures("_fees")
def test_true_fees_pass() -> None:
    assert violations() == []
    roll_up()
    assert violations() == []


CAPTURED, REFUNDED = FEE_LEGS.format("payment.captured"), FEE_LEGS.format("refund.succeeded")
MUTATIONS: dict[str, tuple[str, str]] = {
    "a cent more": (f"UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE {CAPTURED}", "charged"),
    "the legs of a fee are missing": (f"DELETE FROM ledger_entries WHERE {CAPTURED}", "charged 0"),
    "wrong signs": (
        "UPDATE ledger_entries SET direction = CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END"
        f" WHERE {CAPTURED}",
        "charged -",
    ),
    "no basis": ("UPDATE ledger_transfers SET fee_basis = NULL WHERE sequence = 10000", "without a basis"),
    "neither fee nor basis": (
        "WITH legs AS (DELETE FROM ledger_entries WHERE "
        + CAPTURED
        + "), gone AS (DELETE FROM ledger_transfers"
        " WHERE event LIKE 'refund.%%')"
        " UPDATE ledger_transfers SET fee_basis = NULL WHERE sequence = 10000",
        "no fee was computed",
    ),
    "another volume": (
        "UPDATE ledger_transfers SET fee_basis = jsonb_set(fee_basis, '{volume_before_minor}', '1')"
        " WHERE sequence = 10000",
        "by the plan",
    ),
    "another rate": (
        "UPDATE ledger_transfers SET fee_basis = jsonb_set(fee_basis, '{rate,fixed_minor}', '31')"
        " WHERE sequence = 10000",
        "the rate is not that",
    ),
    "another version": (
        "UPDATE fee_plan_versions SET terms = jsonb_set(terms, '{rates,0,minimum_minor}', '51') WHERE number = 3",
        "the rate is not that",
    ),
    "a cent more given back": (
        f"UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE {REFUNDED}",
        "gave back",
    ),
    "nothing given back": (f"DELETE FROM ledger_entries WHERE {REFUNDED}", "gave back 0"),
}


@pytest.mark.usefixtures("_fees")
def test_each_mutated_fee_is_named(subtests: pytest.Subtests) -> None:
    for name, (sql, problem) in MUTATIONS.items():
        with subtests.test(name), transaction.atomic():
            mutate(sql.replace("%%", "%"))
            found = violations()
            transaction.set_rollback(True)
            assert any(problem in each for each in found), found

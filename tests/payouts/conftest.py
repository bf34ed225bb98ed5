import uuid

import pytest
from django.db.models.functions import Now

from merchants.services import NewMerchant
from payouts.models import BankAccount, PayoutPlan
from payouts.services import bank_accounts, plans, runs
from tests.support.fixtures import _in_a_hurry, acme, client, live_client, other_client  # noqa: F401
from tests.support.triggers import without_triggers

IBAN = {"kind": "iban", "holder": "Acme GmbH", "account_no": "DE89 3704 0044 0532 0130 00", "bank_code": ""}


def no_conflict(approver: str, requester: str) -> str:
    return "the same person" if approver == requester else ""


def age_ledger(days: int = 30) -> None:
    """Moves all ledger transfers back by this many days. They must not be added up to daily balances yet."""
    with without_triggers() as cursor:
        cursor.execute(
            "UPDATE ledger_transfers SET day = day - %(days)s,"
            " created_at = created_at - make_interval(days => %(days)s)",
            {"days": days},
        )


def give_plan(merchant_id: uuid.UUID, environment: str = "test", **values: object) -> PayoutPlan:
    return plans.set_plan(
        merchant_id=merchant_id, environment=environment, values=values, actor="ann", reason="contract"
    )


def give_bank_account(
    merchant_id: uuid.UUID, currency: str = "USD", *, is_usable: bool = True
) -> BankAccount:
    account = bank_accounts.request_bank_account(
        merchant_id=merchant_id,
        environment="test",
        currency=currency,
        details=IBAN,
        actor="ann",
        reason="contract",
    )
    account = bank_accounts.approve_bank_account(
        account_id=account.id, actor="bob", reason="called them", find_conflict=no_conflict
    )
    if is_usable:
        BankAccount.objects.filter(id=account.id).update(usable_from=Now())
    return account


def create_run(currency: str = "USD") -> uuid.UUID:
    return runs.create_run(environment="test", currency=currency, actor="ann", reason="weekly")


def approve(run_id: uuid.UUID) -> None:
    runs.approve_run(run_id=run_id, actor="bob", reason="checked", find_conflict=no_conflict)


@pytest.fixture
def payable(acme: NewMerchant) -> NewMerchant:  # noqa: F811
    """The merchant Acme, with a payout plan and a usable bank account for dollars."""
    give_plan(acme.merchant.id)
    give_bank_account(acme.merchant.id)
    return acme

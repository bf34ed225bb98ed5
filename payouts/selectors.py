"""Reads payouts, plans and bank accounts. A function that takes a `principal` reads within its merchant and
environment."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from merchants.principal import Principal
from payouts.models import BankAccount, BankAccountStatus, Payout, PayoutPlan


def get_payouts(principal: Principal) -> QuerySet[Payout]:
    return Payout.objects.select_related("bank_account").filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    )


def get_payout(principal: Principal, payout_no: str) -> Payout:
    """Raises `NotFound`."""
    payout = get_payouts(principal).filter(payout_no=payout_no).first()
    if payout is None:
        raise NotFound({"payout_no": payout_no})
    return payout


def find_plan(*, merchant_id: uuid.UUID, environment: str) -> PayoutPlan | None:
    return PayoutPlan.objects.filter(merchant_id=merchant_id, environment=environment).first()


def find_active_bank_account(
    *, merchant_id: uuid.UUID, environment: str, currency: str
) -> BankAccount | None:
    return BankAccount.objects.filter(
        merchant_id=merchant_id,
        environment=environment,
        currency=currency,
        status=BankAccountStatus.ACTIVE,
    ).first()

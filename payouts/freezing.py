"""Freezes what is payable: one payout with a pending ledger transfer for each merchant that can be paid."""

import datetime as dt
import uuid
from collections.abc import Sequence

from django.utils.translation import gettext as _

from common.clock import database_now
from common.ids import public_number
from ledger.payout_postings import request_payout
from merchants.models import MerchantStatus
from payouts.events import emit_payout_event
from payouts.models import BankAccount, BankAccountStatus, Payout, PayoutPlan, PayoutRun
from payouts.payable import read_payable_balances
from payouts.postings import build_posting_subject
from sagas.outcomes import StepFailed


def freeze_payouts(*, run: PayoutRun, merchant_ids: Sequence[uuid.UUID]) -> list[Payout]:
    """Creates the payouts of the run. Without `merchant_ids`, for every merchant that has a plan.

    The lock of the plans makes runs at the same time wait for each other, so that no money is frozen twice. Raises
    `StepFailed` when nothing is payable.
    """
    plans = PayoutPlan.objects.select_related("merchant").filter(
        environment=run.environment, merchant__status=MerchantStatus.ACTIVE
    )
    if merchant_ids:
        plans = plans.filter(merchant_id__in=merchant_ids)
    now = database_now()
    payouts = []
    for plan in plans.order_by("id").select_for_update(of=("self",)):
        payout = _freeze_payout(run, plan, now)
        if payout is not None:
            payouts.append(payout)
    if not payouts:
        raise StepFailed("nothing_payable", _("Nothing is payable in this currency."))
    return payouts


def _freeze_payout(run: PayoutRun, plan: PayoutPlan, now: dt.datetime) -> Payout | None:
    """None when the merchant has no usable bank account, or less than its minimum is payable.

    An account that waits for approval or cools down blocks payouts, also to the account that it replaces."""
    accounts = BankAccount.objects.filter(
        merchant_id=plan.merchant_id, environment=run.environment, currency=run.currency
    )
    if accounts.filter(status=BankAccountStatus.AWAITING_APPROVAL).exists():
        return None
    account = accounts.filter(status=BankAccountStatus.ACTIVE, usable_from__lte=now).first()
    if account is None:
        return None
    balances = read_payable_balances(
        plan=plan, merchant_id=plan.merchant_id, environment=run.environment, now=now
    )
    payable_minor = next((each.payable_minor for each in balances if each.currency == run.currency), 0)
    if payable_minor < plan.minimum_minor:
        return None
    payout = Payout.objects.create(
        payout_no=public_number("PO", now.date()),
        run=run,
        merchant_id=plan.merchant_id,
        environment=run.environment,
        currency=run.currency,
        amount_minor=payable_minor,
        payable_minor=payable_minor,
        bank_account=account,
        created_at=now,
    )
    request_payout(subject=build_posting_subject(payout), amount_minor=payable_minor)
    emit_payout_event("payout.created", payout)
    return payout

"""Fee plans, payout plans and bank accounts of the demo history, through the services that the buttons of the back
office call. Fees apply to payments from now on, and a new bank account has to cool down, so no money moves."""

from backoffice.approvals import fee_plans
from backoffice.approvals.approvers import find_approver_conflict
from demo.people import ADMIN, FINANCE
from fees.formula import Rate, RefundRule, Terms, Tier
from merchants.models import Environment, Merchant
from payouts.services import bank_accounts, plans

PLAN = "Standard"


def agree_fee_plan(merchant: Merchant) -> None:
    """The plan is approved and assigned; a cheaper version waits for a second person."""
    version = fee_plans.request_version(
        plan_name=PLAN, terms=_build_terms(29_000), valid_from=None, actor=FINANCE, reason="our price list"
    )
    fee_plans.approve(change_id=version.pk, actor=ADMIN, reason="as agreed")
    assignment = fee_plans.request_assignment(
        merchant_email=merchant.email,
        plan_name=PLAN,
        valid_from=None,
        actor=FINANCE,
        reason="contract of November",
    )
    fee_plans.approve(change_id=assignment.pk, actor=ADMIN, reason="as agreed")
    fee_plans.request_version(
        plan_name=PLAN, terms=_build_terms(24_000), valid_from=None, actor=FINANCE, reason="for the new year"
    )


def prepare_payouts(merchant: Merchant) -> None:
    """One bank account is approved and cools down, another one waits for a second person."""
    plans.set_plan(
        merchant_id=merchant.pk,
        environment=Environment.TEST,
        values={"hold_days": 2, "schedule": "weekly", "schedule_day": 1},
        actor=FINANCE,
        reason="contract of November",
    )
    for currency, account_no in (
        ("USD", "DE89370400440532013000"),
        ("KWD", "KW81CBKU0000000000001234560101"),
    ):
        account = bank_accounts.request_bank_account(
            merchant_id=merchant.pk,
            environment=Environment.TEST,
            currency=currency,
            details={"kind": "iban", "holder": merchant.name, "account_no": account_no, "bank_code": ""},
            actor=FINANCE,
            reason="from their contract",
        )
        if currency == "USD":
            bank_accounts.approve_bank_account(
                account_id=account.pk,
                actor=ADMIN,
                reason="called them on the known number",
                find_conflict=lambda approver, requester: find_approver_conflict(
                    approver=approver, requester=requester
                ),
            )


def _build_terms(percent_millionths: int) -> Terms:
    rates = [
        Rate(currency=currency, tiers=(Tier(0, percent_millionths),), fixed_minor=fixed_minor)
        for currency, fixed_minor in (("USD", 30), ("KWD", 100))
    ]
    return Terms(tuple(rates), RefundRule.PROPORTIONAL)

"""Fee plans for tests."""

from typing import Any

from django.db import transaction

from fees.formula import Rate, RefundRule, Terms, Tier
from fees.models import FeePlan, FeePlanVersion
from fees.services.plans import add_version, assign_plan
from merchants.models import Merchant


def rate(percent_millionths: int = 29_000, fixed_minor: int = 30, **changes: Any) -> Rate:
    """2.9 % and 0.30."""
    wanted = {
        "currency": "USD",
        "tiers": (Tier(0, percent_millionths),),
        "fixed_minor": fixed_minor,
        **changes,
    }
    return Rate(**wanted)


def give_plan(
    *rates: Rate,
    rule: RefundRule = RefundRule.PROPORTIONAL,
    name: str = "Standard",
    merchant: Merchant | None = None,
) -> FeePlanVersion:
    """Adds a version of the plan, valid from now on, and assigns it to the merchant, or to the only one there is."""
    with transaction.atomic():
        version = add_version(plan_name=name, terms=Terms(rates or (rate(),), rule), valid_from=None)
        assign_plan(
            merchant=merchant or Merchant.objects.get(),
            plan=FeePlan.objects.get(name=name),
            valid_from=None,
        )
    return version

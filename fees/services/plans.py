"""Adds versions and assignments of fee plans. Neither is ever edited: the next one ends the one before."""

import datetime as dt
import itertools
from collections.abc import Iterator

from django.db import connection
from django.db.models import Max
from django.utils.translation import gettext as _

from common.clock import database_now
from common.errors import OperationRefused
from common.money import EXPONENTS, MAX_AMOUNT_MINOR
from fees.formula import MILLIONTHS_PER_WHOLE, Rate, Terms
from fees.models import FeePlan, FeePlanAssignment, FeePlanVersion
from merchants.models import Merchant


def add_version(*, plan_name: str, terms: Terms, valid_from: dt.datetime | None) -> FeePlanVersion:
    """Creates the plan when there is none of this name. `valid_from` None: from now on. The caller's transaction
    records who approved it.

    Raises `OperationRefused` for terms that cannot be used, and for a time that is not after that of the last version.
    """
    assert connection.in_atomic_block, "a version is added in the transaction of its approval"
    require_valid_terms(terms)
    FeePlan.objects.get_or_create(name=plan_name)
    plan = FeePlan.objects.select_for_update().get(name=plan_name)
    last = plan.versions.aggregate(number=Max("number"), valid_from=Max("valid_from"))
    begins_at = _choose_time(valid_from, after=last["valid_from"])
    return FeePlanVersion.objects.create(
        plan=plan, number=(last["number"] or 0) + 1, terms=terms.as_json(), valid_from=begins_at
    )


def assign_plan(
    *, merchant: Merchant, plan: FeePlan | None, valid_from: dt.datetime | None
) -> FeePlanAssignment:
    """Gives the merchant this plan, or none. Raises `OperationRefused` for a time that is not after that of the last
    assignment."""
    assert connection.in_atomic_block, "a plan is assigned in the transaction of its approval"
    Merchant.objects.select_for_update(no_key=True).get(id=merchant.id)
    last = merchant.fee_plans.aggregate(valid_from=Max("valid_from"))["valid_from"]
    begins_at = _choose_time(valid_from, after=last)
    return FeePlanAssignment.objects.create(merchant=merchant, plan=plan, valid_from=begins_at)


def require_valid_terms(terms: Terms) -> None:
    """Raises `OperationRefused`, naming what is wrong."""
    if not terms.rates:
        raise OperationRefused(_("A fee plan needs at least one rate."))
    keys = [(rate.currency, rate.channel, rate.payment_method) for rate in terms.rates]
    for number, rate in enumerate(terms.rates):
        for problem in _find_problems(rate):
            raise OperationRefused(
                _("Rate %(number)d: %(problem)s") % {"number": number + 1, "problem": problem}
            )
        if keys[number] in keys[:number]:
            raise OperationRefused(
                _("Rate %(number)d: %(problem)s")
                % {"number": number + 1, "problem": _("an earlier rate is for the same payments")}
            )


def _find_problems(rate: Rate) -> Iterator[str]:
    if rate.currency not in EXPONENTS:
        yield _("the currency %s is not known") % rate.currency
    amounts = (rate.fixed_minor, rate.minimum_minor, *(tier.from_minor for tier in rate.tiers))
    if not all(0 <= each <= MAX_AMOUNT_MINOR for each in amounts):
        yield _("an amount is negative or too large")
    if rate.maximum_minor is not None and not rate.minimum_minor <= rate.maximum_minor <= MAX_AMOUNT_MINOR:
        yield _("the maximum is below the minimum or too large")
    if not rate.tiers or rate.tiers[0].from_minor != 0:
        yield _("the first tier must begin at 0")
    begins = [tier.from_minor for tier in rate.tiers]
    if any(earlier >= later for earlier, later in itertools.pairwise(begins)):
        yield _("each tier must begin above the one before")
    if not all(0 <= tier.rate_millionths <= MILLIONTHS_PER_WHOLE for tier in rate.tiers):
        yield _("a percentage must be from 0 to 100")


def _choose_time(valid_from: dt.datetime | None, *, after: dt.datetime | None) -> dt.datetime:
    now = database_now()
    chosen = now if valid_from is None else valid_from
    if chosen < now:
        raise OperationRefused(_("This time is over. Fees of past payments never change."))
    if after is not None and chosen <= after:
        raise OperationRefused(_("It must begin after %(time)s, when the last one begins.") % {"time": after})
    return chosen

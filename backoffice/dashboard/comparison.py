"""The period of the dashboard compared with the one before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from backoffice.dashboard.groups import NOTHING_PAID, OutcomeTotals, success_rate
from common.admin import money_text


@dataclass(frozen=True, slots=True)
class Change:
    """`short` is for tables. `is_good` is None where more is neither good nor bad."""

    short: str
    text: str
    is_good: bool | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    label: str
    value: str
    change: Change | None


@dataclass(frozen=True, slots=True)
class CurrencyFigures:
    """Of one currency."""

    captured: str
    captured_change: Change | None
    refunded: str
    refund_rate: str
    refund_change: Change | None


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One channel or merchant. `rate_width` is the length of its bar, of 200."""

    name: str
    url: str
    payments: str
    payments_change: Change | None
    rate: str
    rate_width: int
    rate_change: Change | None
    money: Sequence[CurrencyFigures]
    more_currencies: int


MOST_CURRENCIES: Final = 2  # of one row


def build_row(name: str, url: str, group: OutcomeTotals) -> ComparisonRow:
    now, before = group.outcomes.total(), group.previous_outcomes.total()
    rate, rate_before = success_rate(group.outcomes), success_rate(group.previous_outcomes)
    currencies = _list_currencies(group)
    return ComparisonRow(
        name,
        url,
        payments=number_format(now, force_grouping=True),
        payments_change=describe_change(now, before),
        rate=_percent(rate),
        rate_width=round((rate or 0) * 200),
        rate_change=describe_points(rate, rate_before, more_is_good=True),
        money=[_build_money(group, currency) for currency in currencies[:MOST_CURRENCIES]],
        more_currencies=len(currencies[MOST_CURRENCIES:]),
    )


def _build_money(group: OutcomeTotals, currency: str) -> CurrencyFigures:
    now, before = group.paid[currency], group.previous_paid.get(currency, NOTHING_PAID)
    return CurrencyFigures(
        captured=money_text(now.captured_minor, currency),
        captured_change=describe_change(now.captured_minor, before.captured_minor),
        refunded=money_text(now.refunded_minor, currency),
        refund_rate=_percent(now.refund_rate),
        refund_change=describe_points(now.refund_rate, before.refund_rate, more_is_good=False),
    )


def _list_currencies(group: OutcomeTotals) -> list[str]:
    """The one with the most minor units captured comes first: amounts of several cannot be added up."""
    return sorted(group.paid, key=lambda each: (-group.paid[each].captured_minor, each))


def build_summaries(total: OutcomeTotals) -> list[Summary]:
    now, before = total.outcomes, total.previous_outcomes
    rate, rate_before = success_rate(now), success_rate(before)
    summaries = [
        Summary(
            _("Payments"),
            number_format(now.total(), force_grouping=True),
            describe_change(now.total(), before.total()),
        ),
        Summary(_("Success rate"), _percent(rate), describe_points(rate, rate_before, more_is_good=True)),
    ]
    return [*summaries, *_refund_summary(total)]


def _refund_summary(total: OutcomeTotals) -> list[Summary]:
    """For one currency."""
    if not total.paid:
        return []
    currency = _list_currencies(total)[0]
    now = total.paid[currency].refund_rate
    before = total.previous_paid.get(currency, NOTHING_PAID).refund_rate
    label = _("Refund rate, %(currency)s") % {"currency": currency}
    return [Summary(label, _percent(now), describe_points(now, before, more_is_good=False))]


def describe_change(now: int, before: int) -> Change | None:
    """Returns `+12.5 %`; None when there was nothing before."""
    if not before:
        return None
    percent = 100 * (now - before) / before
    text = _("%(change)s %% compared with the previous period") % {"change": _signed(percent)}
    return Change(f"{_signed(percent)} %", text)


def describe_points(now: float | None, before: float | None, *, more_is_good: bool) -> Change | None:
    if now is None or before is None:
        return None
    points = 100 * (now - before)
    text = _("%(change)s points compared with the previous period") % {"change": _signed(points)}
    return Change(_signed(points), text, None if round(points, 1) == 0 else (points > 0) == more_is_good)


def _percent(rate: float | None) -> str:
    return "—" if rate is None else f"{number_format(round(rate * 100, 1))} %"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{number_format(round(abs(value), 1))}"

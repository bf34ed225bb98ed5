"""The period of the dashboard compared with the one before."""

from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from backoffice.dashboard.figures import Figures, PaidTotal, success_rate


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


def build_summaries(figures: Figures) -> list[Summary]:
    now, before = figures.outcomes, figures.previous_outcomes
    rate, rate_before = success_rate(now), success_rate(before)
    summaries = [
        Summary(
            _("Payments"),
            number_format(now.total(), force_grouping=True),
            describe_change(now.total(), before.total()),
        ),
        Summary(_("Success rate"), _percent(rate), describe_points(rate, rate_before, more_is_good=True)),
    ]
    return [*summaries, *_refund_summary(figures)]


def _refund_summary(figures: Figures) -> list[Summary]:
    """For one currency, because amounts of several cannot be added up: the one with the most minor units captured."""
    if not figures.by_currency:
        return []
    currency = max(figures.by_currency, key=lambda each: figures.by_currency[each].captured_minor)
    now = _refund_rate(figures.by_currency[currency])
    before = _refund_rate(figures.previous_by_currency.get(currency, PaidTotal(0, 0)))
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


def _refund_rate(total: PaidTotal) -> float | None:
    return total.refunded_minor / total.captured_minor if total.captured_minor else None


def _percent(rate: float | None) -> str:
    return "—" if rate is None else f"{number_format(round(rate * 100, 1))} %"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{number_format(round(abs(value), 1))}"

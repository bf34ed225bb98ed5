"""Computes the bar chart of payments. The template draws it as SVG, without scripts, in the colours of the theme."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from backoffice.dashboard.figures import STATUS_GROUPS, Figures
from common.time_zones import format_exactly

WIDTH, HEIGHT, FLOOR, LEFT = 960, 200, 22, 44


@dataclass(frozen=True, slots=True)
class BarPart:
    outcome: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    width: float
    title: str
    label: str  # below the bar; empty where there is no room
    url: str
    parts: Sequence[BarPart]


@dataclass(frozen=True, slots=True)
class GridLine:
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    bars: Sequence[Bar]
    lines: Sequence[GridLine]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    floor: int = HEIGHT - FLOOR


def payments_chart(figures: Figures, *, by_day: bool, list_url: str) -> Chart:
    highest = _round_up(max((sum(each.values()) for each in figures.by_moment.values()), default=0))
    step = (WIDTH - LEFT) / len(figures.moments)
    every = max(1, len(figures.moments) // 8)
    bars = [
        _bar(figures, moment, LEFT + n * step, step, highest, by_day, list_url, labelled=n % every == 0)
        for n, moment in enumerate(figures.moments)
    ]
    lines = [
        GridLine(_height_to_y(highest * fraction, highest), f"{highest * fraction:,.0f}")
        for fraction in (0.0, 0.5, 1.0)
    ]
    return Chart(bars, lines)


def _bar(
    figures: Figures,
    moment: dt.datetime,
    x: float,
    step: float,
    highest: int,
    by_day: bool,
    list_url: str,
    *,
    labelled: bool,
) -> Bar:
    counts = figures.by_moment[moment]
    parts, reached = [], 0
    for outcome in STATUS_GROUPS:
        count = counts.get(outcome, 0)
        if count:
            top = _height_to_y(reached + count, highest)
            parts.append(BarPart(outcome, top, round(_height_to_y(reached, highest) - top, 1)))
            reached += count
    end = moment + (dt.timedelta(days=1) if by_day else dt.timedelta(hours=1))
    # Hours in the reader's zone. Days are aggregated in UTC, and say so.
    when = f"{moment:%m-%d}" if by_day else f"{timezone.localtime(moment):%H:%M}"
    url = (
        f"{list_url}?environment={figures.environment}"
        f"&created_from={moment:%Y-%m-%dT%H:%MZ}&created_to={end:%Y-%m-%dT%H:%MZ}"
    )
    title = _("%(when)s: %(count)d payments") % {
        "when": f"{moment:%Y-%m-%d} UTC" if by_day else format_exactly(moment),
        "count": reached,
    }
    return Bar(round(x, 1), round(step * 0.8, 1), title, when if labelled else "", url, parts)


def _height_to_y(count: float, highest: int) -> float:
    return round((HEIGHT - FLOOR) * (1 - count / highest) + 4 * count / highest, 1)


def _round_up(count: int) -> int:
    """Rounds up to a number that suits an axis."""
    unit = 4
    while unit < count:
        unit = unit * 5 // 2 if str(unit)[0] == "4" else unit * 2
    return unit

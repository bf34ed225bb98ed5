"""The common shape of all benchmarks: what a benchmark is called, how much it may measure, and what it returns.

A benchmark is a module with two names:

    BENCHMARK = Benchmark("replay", "what it measures", "what bounds its figures")
    def measure(effort: Effort) -> list[Figure]: ...

and a line in `benchmarks/registry.py`. It runs in a process of its own with Django set up, all migrations applied, and
PostgreSQL and Redis that no other benchmark has used.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Benchmark:
    name: str
    measures: str  # a sentence
    bounded_by: str  # a sentence: what would have to become faster or fewer


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a benchmark measures. A quick run shows that it works; its figures mean nothing."""

    quick: bool
    rounds: int
    payments: int = 0  # that `growth` loads at last; 0: as many as it does by itself

    def choose(self, full: int, quick: int) -> int:
        return quick if self.quick else full


_AIM = re.compile(r"(at least|at most|below) ([\d.,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value. `ratio` is this value divided by that of `ratio_to`, in the same run.

    `aim` is "at least", "at most" or "below" and a number, for the ratio where there is one.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str = ""
    aim: str = ""
    rounds: tuple[float, ...] = ()  # the values of which `value` is the median

    @property
    def reaches_aim(self) -> bool | None:
        """None without an aim that can be compared."""
        found = _AIM.fullmatch(self.aim)
        if found is None:
            return None
        measured, wanted = self.value if self.ratio is None else self.ratio, float(found[2].replace(",", ""))
        match found[1]:
            case "at least":
                return measured >= wanted
            case "at most":
                return measured <= wanted
            case _:
                return measured < wanted

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"   {self.ratio:.2f} of {self.ratio_to}"
        aim = f" (aim: {self.aim})" if self.aim else ""
        return f"{self.name}: {format_value(self.value)} {self.unit}{ratio}{aim}"


def median_figure(
    name: str, rounds: Sequence[float], unit: str, *, base: "Figure | None" = None, aim: str = ""
) -> Figure:
    """The median of the rounds and, with `base`, its ratio to that figure."""
    value = statistics.median(rounds)
    ratio = value / base.value if base and base.value else None
    return Figure(
        name=name,
        value=value,
        unit=unit,
        ratio=ratio,
        ratio_to=base.name if base and ratio is not None else "",
        aim=aim,
        rounds=tuple(rounds),
    )


def merge_rounds(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """One figure for those of the same name, of which each round has one: the median, and ratios of medians."""
    medians = {
        figures[0].name: statistics.median(figure.value for figure in figures)
        for figures in zip(*rounds, strict=True)
    }
    merged = []
    for figures in zip(*rounds, strict=True):
        first, values = figures[0], tuple(figure.value for figure in figures)
        base = medians.get(first.ratio_to)
        merged.append(
            replace(
                first,
                value=medians[first.name],
                ratio=medians[first.name] / base if base else first.ratio,
                rounds=values if len(values) > 1 else first.rounds,
            )
        )
    return merged


def get_percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


def format_value(value: float) -> str:
    """Three digits that matter; a count keeps all of its digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

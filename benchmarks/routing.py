"""What routing by success rate loses against an oracle that always knows the best channel, beside other rules.

A simulation with the platform's own draws, half-life and pauses: every 10 seconds the outcomes that are known by then
are counted; a failure is known after about 10 seconds, a success after about a minute. The loss: of 100 payments,
how many more the channel itself fails than the best channel would. Failover is not simulated: it rescues most of them.
"""

import heapq
import random
import statistics
from collections.abc import Callable, Mapping

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from gateway.services.routing.draws import (
    OutcomeCounts,
    order_by_success_rate,
    order_by_weight,
    order_keys,
)
from gateway.services.routing.success_rates import COUNT_SECONDS, HALF_LIFE_SECONDS

BENCHMARK = Benchmark(
    "routing",
    "A simulation: of 100 payments, how many more fail than through the best channel, by rule of routing.",
    "How soon outcomes are known: a failure after 10 s, a success after a minute.",
)
BASE = "equal weights"

Rates = Mapping[str, float]
Counts = Mapping[str, OutcomeCounts]

# The success rate of each channel at a point of the simulation, from 0 to 1.
SCENARIOS: dict[str, Callable[[float], Rates]] = {
    "stable": lambda _at: {"a": 0.85, "b": 0.97, "c": 0.92},
    "nearly equal": lambda _at: {"a": 0.94, "b": 0.95, "c": 0.945},
    "step change": lambda at: {"a": 0.85, "b": 0.97 if at < 0.5 else 0.70, "c": 0.92},
    "outage of 6 min": lambda at: {"a": 0.85, "b": 0.0 if 0.5 <= at < 0.55 else 0.97, "c": 0.92},
    "drift": lambda at: {"a": 0.85 + 0.12 * at, "b": 0.97 - 0.12 * at, "c": 0.85},
}
WEIGHTS = {"a": 1, "b": 1, "c": 1}


def _choose_greedily(counts: Counts, order: str) -> str:
    """The best rate so far; a channel without outcomes counts as one half."""
    rates = {key: (each.succeeded + 1) / (each.succeeded + each.failed + 2) for key, each in counts.items()}
    best = max(rates.values())
    ties = {key: 1 for key, rate in rates.items() if rate == best}
    return order_by_weight(ties, order)[0]


RULES: dict[str, Callable[[Counts, str], str]] = {
    "equal weights": lambda _counts, order: order_by_weight(WEIGHTS, order)[0],
    "greedy": _choose_greedily,
    "sampling, no floor": lambda counts, order: order_by_success_rate(counts, order)[0],
    "success_rate": lambda counts, order: order_keys(WEIGHTS, counts, order)[0],
}


def simulate(scenario: Callable[[float], Rates], rule: str, *, rate: float, seconds: int, seed: int) -> float:
    """Returns the loss in percent."""
    generator = random.Random(seed)
    succeeded, failed = dict.fromkeys(WEIGHTS, 0.0), dict.fromkeys(WEIGHTS, 0.0)
    counts: Counts = {key: OutcomeCounts() for key in WEIGHTS}
    pending: list[tuple[float, str, bool]] = []
    now, next_count, loss, orders = 0.0, 0.0, 0.0, 0
    while (now := now + generator.expovariate(rate)) < seconds:
        while next_count <= now:
            fade = 0.5 ** (COUNT_SECONDS / HALF_LIFE_SECONDS)
            succeeded = {key: value * fade for key, value in succeeded.items()}
            failed = {key: value * fade for key, value in failed.items()}
            while pending and pending[0][0] <= next_count:
                _known_at, key, is_success = heapq.heappop(pending)
                (succeeded if is_success else failed)[key] += 1
            counts = {key: OutcomeCounts(succeeded[key], failed[key]) for key in WEIGHTS}
            next_count += COUNT_SECONDS
        rates = scenario(now / seconds)
        chosen = RULES[rule](counts, f"{seed}-{orders}")
        is_success = generator.random() < rates[chosen]
        known_at = now + generator.expovariate(1 / 60 if is_success else 1 / 10)
        heapq.heappush(pending, (known_at, chosen, is_success))
        loss += max(rates.values()) - rates[chosen]
        orders += 1
    return 100 * loss / max(orders, 1)


def measure(effort: Effort) -> list[Figure]:
    """Runs are equal: they have the same seeds."""
    seconds, seeds = effort.choose(7200, 60), effort.choose(2, 1)
    figures = []
    for rate in (10, 1, 0.1) if not effort.quick else (1,):
        for name, scenario in SCENARIOS.items():
            losses = {
                rule: statistics.mean(
                    simulate(scenario, rule, rate=rate, seconds=seconds, seed=seed) for seed in range(seeds)
                )
                for rule in RULES
            }
            title = f"{name}, {rate:g} payments a second"
            base = Figure(name=f"{title}, {BASE}", value=losses.pop(BASE), unit="%")
            others = [
                median_figure(f"{title}, {rule}", [loss], "%", base=base) for rule, loss in losses.items()
            ]
            figures += [base, *others]
    return figures

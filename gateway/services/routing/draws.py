"""Orders rules of equal priority, by weight or by success rate. Every draw is a hash of the order: a repetition with
the same rules and counts gives the same result.

Success rates are chosen by Thompson sampling: each rule draws a rate that its counts make plausible, and the highest
draw is first. Few counts leave a wide range, so that a rule that is little known is tried; old outcomes fade
(`success_rates.py`), so that a rule that was bad is tried again. `benchmarks/routing.py` measures it.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# This share of the orders is drawn by weight, whatever the counts say: every rule stays measured.
EXPLORATION_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Recent outcomes; each counts less the older it is."""

    succeeded: float = 0.0
    failed: float = 0.0

    @property
    def rate(self) -> float | None:
        total = self.succeeded + self.failed
        return self.succeeded / total if total else None


NO_OUTCOMES = OutcomeCounts()


def order_by_weight(weights: Mapping[str, int], order: str) -> list[str]:
    """Weighted rendezvous hashing: a key is first as often as its share of all weights. Adding or removing a key moves
    no order between the other keys."""
    return sorted(weights, key=lambda key: -math.log(_draw_share(key, order)) / weights[key])


def is_exploring(order: str) -> bool:
    """Whether an order is drawn by weight although its rules are chosen by success rate."""
    return _draw_share("explore", order) < EXPLORATION_SHARE


def order_by_success_rate(counts: Mapping[str, OutcomeCounts], order: str) -> list[str]:
    """Puts the key with the highest draw of its Beta distribution first."""
    return sorted(counts, key=lambda key: -_draw_rate(counts[key], key, order))


def order_keys(
    weights: Mapping[str, int], counts: Mapping[str, OutcomeCounts] | None, order: str
) -> Sequence[str]:
    """Orders the keys of a group; without `counts`, by weight."""
    if counts is None or is_exploring(order):
        return order_by_weight(weights, order)
    return order_by_success_rate(counts, order)


def _draw_rate(counts: OutcomeCounts, key: str, order: str) -> float:
    generator = random.Random(_hash(key, order))  # noqa: S311  (repeatable is what is wanted)
    return generator.betavariate(1 + counts.succeeded, 1 + counts.failed)


def _draw_share(key: str, order: str) -> float:
    """A number above 0 and below 1."""
    return (_hash(key, order) + 1) / (2**64 + 1)


def _hash(key: str, order: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{key}:{order}".encode()).digest()[:8], "big")

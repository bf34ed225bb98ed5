"""Decides which channel takes a payment. A pure function: the dry run shows exactly what a payment would get."""

import enum
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import ApiError
from gateway.errors import ChannelUnavailable
from gateway.flows.data import ChannelChoice
from gateway.models import RoutingRule, RoutingStrategy
from gateway.services.routing.draws import OutcomeCounts, is_exploring, order_keys
from gateway.services.routing.matching import RoutedPayment, find_failed_condition


class Verdict(enum.StrEnum):
    CHOSEN = "chosen"
    FALLBACK = "fallback"  # is tried after a decline that allows it
    NO_MATCH = "no_match"  # the payment fails a condition of the rule
    REPEATED = "repeated"  # a better rule names the same account
    NOT_SET_UP = "not_set_up"
    NOT_SUPPORTED = "not_supported"  # the channel cannot take such a payment


class OrderedBy(enum.StrEnum):
    """The criterion that gave a candidate its rank among the rules of its priority."""

    PRIORITY = "priority"  # it is the only one
    WEIGHT = "weight"
    SUCCESS_RATE = "success_rate"
    EXPLORATION = "exploration"  # by weight, to keep the success rates measured
    DEFAULT = "default"  # no rule matches


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """`unavailable_reason` is empty for a channel that is set up. `refusal`: why it cannot take the payment."""

    unavailable_reason: str = ""
    refusal: ApiError | None = None
    is_down: bool = False
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A channel account that a rule names, or the default channel. `rank` counts from 1, the chosen one; None: left
    out."""

    choice: ChannelChoice
    rule: RoutingRule | None
    verdict: Verdict
    ordered_by: OrderedBy | None = None
    rank: int | None = None
    failed_condition: str = ""
    counts: OutcomeCounts | None = None
    facts: ChannelFacts = ChannelFacts()


@dataclass(frozen=True, slots=True)
class Decision:
    """All candidates: the chosen one, its fallbacks in their order, then those that were left out."""

    candidates: tuple[Candidate, ...]

    @property
    def usable(self) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self.candidates if candidate.rank is not None)

    def find_error(self) -> ApiError | None:
        """The error for the merchant when no candidate can take the payment."""
        if self.usable:
            return None
        refusals = (candidate.facts.refusal for candidate in self.candidates)
        reasons = [c.facts.unavailable_reason for c in self.candidates if c.verdict is Verdict.NOT_SET_UP]
        return next((refusal for refusal in refusals if refusal), ChannelUnavailable({"channel": reasons}))


def decide(
    *,
    payment: RoutedPayment,
    rules: Sequence[RoutingRule],
    choices: Mapping[int, ChannelChoice],
    default: ChannelChoice,
    inspect: Callable[[ChannelChoice], ChannelFacts],
    count_outcomes: Callable[[ChannelChoice], OutcomeCounts],
) -> Decision:
    """Orders the channels of the matching rules by priority, then by weight or success rate. Channels that cannot take
    the payment are left out; channels whose circuit breaker is open come last.

    `choices` has the channel and account of each rule, by its id.
    """
    failed = {rule.pk: find_failed_condition(rule, payment) for rule in rules}
    unmatched = [
        Candidate(choices[rule.pk], rule, Verdict.NO_MATCH, failed_condition=failed[rule.pk])
        for rule in rules
        if failed[rule.pk]
    ]
    matching = sorted((r for r in rules if not failed[r.pk]), key=lambda rule: (-rule.priority, rule.pk))
    ranked = [
        candidate
        for _priority, group in itertools.groupby(matching, key=lambda rule: rule.priority)
        for candidate in _order_group(list(group), choices, payment.order_key, count_outcomes)
    ] or [Candidate(default, None, Verdict.FALLBACK, OrderedBy.DEFAULT)]
    inspected = [_inspect(candidate, inspect) for candidate in _mark_repeated(ranked)]
    usable = [candidate for candidate in inspected if candidate.verdict is Verdict.FALLBACK]
    # The sort is stable: the rules' order stays among the channels that are up, and among those that are down.
    usable.sort(key=lambda candidate: candidate.facts.is_down)
    with_rank = [
        replace(each, rank=rank, verdict=Verdict.CHOSEN if rank == 1 else Verdict.FALLBACK)
        for rank, each in enumerate(usable, start=1)
    ]
    left_out = [candidate for candidate in inspected if candidate.verdict is not Verdict.FALLBACK]
    return Decision((*with_rank, *left_out, *unmatched))


def _order_group(
    rules: Sequence[RoutingRule],
    choices: Mapping[int, ChannelChoice],
    order: str,
    count_outcomes: Callable[[ChannelChoice], OutcomeCounts],
) -> list[Candidate]:
    """Orders rules of equal priority: by success rate when one of them says so, otherwise by weight."""
    by_key = {str(rule.pk): rule for rule in rules}
    weights = {key: rule.weight for key, rule in by_key.items()}
    if len(rules) == 1:
        ordered_by = OrderedBy.PRIORITY
    elif all(rule.strategy == RoutingStrategy.WEIGHT for rule in rules):
        ordered_by = OrderedBy.WEIGHT
    else:
        ordered_by = OrderedBy.EXPLORATION if is_exploring(order) else OrderedBy.SUCCESS_RATE
    counts: Mapping[str, OutcomeCounts] | None = None
    if ordered_by in (OrderedBy.SUCCESS_RATE, OrderedBy.EXPLORATION):
        counts = {key: count_outcomes(choices[rule.pk]) for key, rule in by_key.items()}
    return [
        Candidate(
            choices[by_key[key].pk],
            by_key[key],
            Verdict.FALLBACK,
            ordered_by,
            counts=counts[key] if counts is not None else None,
        )
        for key in order_keys(weights, counts, order)
    ]


def _mark_repeated(candidates: Sequence[Candidate]) -> list[Candidate]:
    """An account of a channel counts once, at its best rank."""
    seen: set[ChannelChoice] = set()
    marked = []
    for candidate in candidates:
        is_repeated = candidate.choice in seen
        seen.add(candidate.choice)
        marked.append(replace(candidate, verdict=Verdict.REPEATED) if is_repeated else candidate)
    return marked


def _inspect(candidate: Candidate, inspect: Callable[[ChannelChoice], ChannelFacts]) -> Candidate:
    if candidate.verdict is Verdict.REPEATED:
        return candidate
    facts = inspect(candidate.choice)
    verdict = candidate.verdict
    if facts.unavailable_reason:
        verdict = Verdict.NOT_SET_UP
    elif facts.refusal is not None:
        verdict = Verdict.NOT_SUPPORTED
    return replace(candidate, facts=facts, verdict=verdict)

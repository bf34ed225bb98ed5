"""The decision itself, over random rules, channels and payments, without a database."""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import AmountNotSupported, ChannelUnavailable
from gateway.flows.data import ChannelChoice
from gateway.models import RoutingRule
from gateway.services.routing.decision import ChannelFacts, Decision, OrderedBy, Verdict, decide
from gateway.services.routing.draws import OutcomeCounts
from gateway.services.routing.matching import RoutedPayment, find_failed_condition

CHANNELS = ("north", "south", "west")
PAYMENT = RoutedPayment(uuid.UUID(int=1), "test", "ORDER-1", 10_000, "USD", 1800, card_bin="424242")
UP = ChannelFacts()
REFUSING = ChannelFacts(refusal=AmountNotSupported({}))
MISSING = ChannelFacts(unavailable_reason="not set up")


def rule(number: int, channel: str, **changes: Any) -> RoutingRule:
    return RoutingRule(pk=number, environment="test", channel=channel, **changes)


def decide_on(
    rules: list[RoutingRule], facts: dict[str, ChannelFacts], payment: RoutedPayment = PAYMENT
) -> Decision:
    return decide(
        payment=payment,
        rules=rules,
        choices={each.pk: ChannelChoice(each.channel) for each in rules},
        default=ChannelChoice("west"),
        inspect=lambda choice: facts.get(choice.channel, UP),
        count_outcomes=lambda choice: OutcomeCounts(5, 1),
    )


conditions = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(CHANNELS),
        "priority": st.integers(0, 2),
        "weight": st.integers(1, 5),
        "strategy": st.sampled_from(["weight", "success_rate"]),
        "currency": st.sampled_from(["", "USD", "EUR"]),
        "card_bin": st.sampled_from(["", "42", "5"]),
    }
)
facts_of_channels = st.fixed_dictionaries(
    {name: st.sampled_from([UP, ChannelFacts(is_down=True), REFUSING, MISSING]) for name in CHANNELS}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(conditions, max_size=6), facts_of_channels, st.text(max_size=5))
def test_every_rule_is_explained_and_the_order_is_right(
    drawn: list[dict[str, Any]], facts: dict[str, ChannelFacts], order_no: str
) -> None:
    rules = [rule(number, **values) for number, values in enumerate(drawn, start=1)]
    payment = RoutedPayment(uuid.UUID(int=1), "test", order_no, 10_000, "USD", 1800, card_bin="424242")
    decision = decide_on(rules, facts, payment)
    matching = [each for each in rules if not find_failed_condition(each, payment)]
    explained = [each.rule for each in decision.candidates if each.rule]
    assert sorted(each.pk for each in explained) == [each.pk for each in rules]
    usable = decision.usable
    assert [each.rank for each in usable] == list(range(1, len(usable) + 1))
    assert len({each.choice for each in usable}) == len(usable)
    possible = {each.channel for each in matching} or {"west"}
    assert {each.choice.channel for each in usable} == {
        name for name in possible if facts[name].refusal is None and not facts[name].unavailable_reason
    }
    ranks = [(each.facts.is_down, -each.rule.priority if each.rule else 0) for each in usable]
    assert ranks == sorted(ranks)
    assert (decision.find_error() is None) == bool(usable)
    # The rules come from the database in any order, and without those that do not match.
    again = decide_on(matching[::-1], facts, payment)
    assert again.usable == usable


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"north": MISSING, "south": MISSING}, ChannelUnavailable),
        ({"north": REFUSING, "south": MISSING}, AmountNotSupported),
    ],
)
def test_the_error_says_why_no_channel_can(facts: dict[str, ChannelFacts], error: type[Exception]) -> None:
    decision = decide_on([rule(1, "north"), rule(2, "south")], facts)
    assert isinstance(decision.find_error(), error)
    assert all(each.rank is None for each in decision.candidates)


def test_one_rule_by_success_rate_decides_for_its_priority() -> None:
    by_weight = [rule(1, "north"), rule(2, "south")]
    mixed = [rule(1, "north"), rule(2, "south", strategy="success_rate")]
    assert {each.ordered_by for each in decide_on(by_weight, {}).usable} == {OrderedBy.WEIGHT}
    (ordered_by,) = {each.ordered_by for each in decide_on(mixed, {}).usable}
    assert ordered_by in (OrderedBy.SUCCESS_RATE, OrderedBy.EXPLORATION)
    assert [each.counts for each in decide_on(mixed, {}).usable] == [OutcomeCounts(5, 1)] * 2


def test_a_down_channel_comes_after_one_of_lower_priority() -> None:
    rules = [rule(1, "north", priority=2), rule(2, "south", priority=1), rule(3, "north")]
    decision = decide_on(rules, {"north": ChannelFacts(is_down=True)})
    assert [(each.choice.channel, each.verdict) for each in decision.candidates] == [
        ("south", Verdict.CHOSEN),
        ("north", Verdict.FALLBACK),
        ("north", Verdict.REPEATED),
    ]

"""The figures of a scenario, computed from journals that the tests write."""

import json
from collections import Counter

import pytest

from scripts.lab import figures
from scripts.lab.client import Outcome
from scripts.lab.figures import Round

ROUND = Round(calm_from=0.0, fault_at=100.0, until=160.0, failover_seconds=20.0, new_primary="db-b")


def confirmed(sent: float, answered: float, *, client: int = 0, errors: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        client=client,
        kind="payment",
        channel="simulator",
        path="/api/v1/payments",
        body={"order_no": f"{client}-{sent}"},
        first_sent_at=sent,
        answered_at=answered,
        status=200,
        errors=dict(Counter(errors)),
    )


def each_second(begin: int, end: int) -> list[Outcome]:
    return [confirmed(at, at + 0.1) for at in range(begin, end)]


def test_an_outage_is_measured_from_the_fault() -> None:
    outcomes = each_second(0, 100) + each_second(125, 160)
    assert abs((figures.first_success(outcomes, ROUND) or 0) - 25.1) < 1e-6
    assert figures.confirmed_rate(outcomes, 0, 100) == 1.0
    back = figures.back_to_rate(outcomes, ROUND)
    assert back is not None
    assert 25 <= back <= 35


def test_a_pause_no_longer_than_before_the_fault_is_no_outage() -> None:
    outcomes = [confirmed(at, at + 0.1) for at in range(0, 160, 4)]
    assert figures.first_success(outcomes, ROUND) == 0.0
    longer = [each for each in outcomes if not 104 <= each.first_sent_at < 120]
    assert figures.first_success(longer, ROUND) == pytest.approx(20.1)


def test_a_fault_without_an_outage() -> None:
    outcomes = each_second(0, 160)
    assert figures.first_success(outcomes, ROUND) == 0.0
    assert figures.back_to_rate(outcomes, ROUND) == 0.0
    assert figures.interruptions(outcomes, ROUND) == [0.0]


def test_no_recovery_within_the_round() -> None:
    outcomes = each_second(0, 100)
    assert figures.first_success(outcomes, ROUND) is None
    assert figures.back_to_rate(outcomes, ROUND) is None


def test_each_client_waits_for_its_longest_write() -> None:
    outcomes = [
        confirmed(99.0, 124.0, errors=("503", "timeout")),
        confirmed(125.0, 125.2),
        confirmed(101.0, 101.1, client=1),
        confirmed(90.0, 95.0, client=2, errors=("503",)),
    ]
    assert figures.interruptions(outcomes, ROUND) == [0.0, 25.0]
    assert [outcome.is_healed for outcome in outcomes] == [True, False, False, True]


def test_a_journal_keeps_everything() -> None:
    outcome = confirmed(1.0, 2.0, errors=("503", "503"))
    assert json.loads(outcome.to_line())["errors"] == {"503": 2}
    assert Outcome.from_line(outcome.to_line()) == outcome

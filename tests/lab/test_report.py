"""The table of results, and the promise that each result must keep."""

import dataclasses
from pathlib import Path

import pytest

from scripts.lab import report
from scripts.lab.plan import Folders
from scripts.lab.report import ScenarioResult
from scripts.lab.scenarios import SCENARIOS, UnknownScenario, find_scenario
from scripts.restore_drill.report import FAILED, PASSED, Report, read_last_report

RESULT = ScenarioResult(
    scenario="kill-primary",
    title="the primary's host dies",
    at="2026-11-28T19:00:00+00:00",
    rounds=2,
    writes_per_second=5.96,
    failovers=2,
    requests=700,
    confirmed=600,
    healed=40,
    refused={},
    errors={"503": 90},
    lost=[],
    doubled=[],
    losing_side=None,
    disagreements=[],
    failover_seconds=[20.1, 22.3],
    recovery_seconds=[21.0, 24.0],
    client_seconds=[0.0, 20.0, 23.5],
    as_before_seconds=[26.0, None],
)


def test_a_row() -> None:
    row = report.to_table([RESULT]).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("kill-primary", "6.0", "2", "700", "600", "40", "0", "0", "0", "-", "agree"),
        *("22.3 / 22.3", "24.0 / 24.0", "20.0 / 23.5", "> 26.0 / 26.0"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {"lost": ["x"]},
        {"doubled": ["x"]},
        {"losing_side": ["x"]},
        {"disagreements": ["x"]},
        {"refused": {"500": 1}},
    ],
    ids=str,
)
def test_a_broken_promise_is_described(broken: dict[str, object]) -> None:
    assert RESULT.is_kept
    result = dataclasses.replace(RESULT, **broken)
    assert not result.is_kept
    assert report.describe(result)


def test_results_are_kept_in_the_order_of_the_scenarios(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.results.mkdir(parents=True)
    report.save(folders, RESULT)
    report.save(folders, dataclasses.replace(RESULT, scenario="disk-full"))
    found = report.load_all(folders, ["disk-full", "kill-zone", "kill-primary"])
    assert [result.scenario for result in found] == ["disk-full", "kill-primary"]
    assert found[1] == RESULT


def test_scenarios_have_names() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert find_scenario("kill-primary").fails_over
    with pytest.raises(UnknownScenario, match="cut-zone"):
        find_scenario("cut-zome")


def test_the_last_restore_drill_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "local" / "restore-drill.md"
    assert read_last_report(file) is None
    drill = Report()
    drill.require(holds=True, name="lost", value=0)
    drill.save(file)
    assert read_last_report(file) == f"| what | measured |\n| --- | --- |\n| lost | 0 |\n\n{PASSED}\n"
    drill.require(holds=False, name="doubled", value=1)
    drill.save(file)
    assert (read_last_report(file) or "").endswith(f"FAILED doubled: 1\n\n{FAILED}\n")

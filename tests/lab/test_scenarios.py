"""Every scenario of the lab, under load, on this machine as root.

./scripts/test.sh tests/lab --long -n 0
./scripts/test.sh tests/lab --long -n 0 -k kill_primary
"""

from collections.abc import Iterator

import pytest

from scripts.lab import lifecycle, report
from scripts.lab.plan import Folders
from scripts.lab.running import run_scenario
from scripts.lab.scenarios import SCENARIOS, FaultScenario

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    folders = Folders(tmp_path_factory.mktemp("lab"))
    lifecycle.up(folders)
    yield folders
    lifecycle.down(folders)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace("-", "_"))
def test_scenario(lab: Folders, scenario: FaultScenario) -> None:
    result = run_scenario(lab, scenario)
    assert result.is_kept, report.describe(result)
    assert result.failovers == (result.rounds if scenario.fails_over else 0), report.describe(result)

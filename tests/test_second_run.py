"""Which failures of a whole run are forgiven: only those of tests that depend on the machine's speed and pass alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import second_run

SETTINGS = (
    "[pytest]\nmarkers =\n    stack: real servers\n    processes: real processes\n    browser: a browser\n"
)
FIRST_RUN = "import pathlib\nFIRST_RUN = not pathlib.Path('ran').exists()\npathlib.Path('ran').touch()\n"
UNSTABLE = "@pytest.mark.{marker}\ndef test_{name}():\n    assert not FIRST_RUN\n"
BROKEN = "@pytest.mark.processes\ndef test_broken():\n    assert False\n"
UNMARKED = "def test_unmarked():\n    assert not FIRST_RUN\n"


@pytest.mark.parametrize(
    ("tests", "forgiven"),
    [
        ([UNSTABLE.format(marker="stack", name="one"), UNSTABLE.format(marker="browser", name="two")], True),
        ([UNSTABLE.format(marker="processes", name="one"), BROKEN], False),
        ([UNSTABLE.format(marker="processes", name="one"), UNMARKED], False),
        ([UNMARKED], False),
        ([UNSTABLE.format(marker="stack", name=f"number_{number}") for number in range(4)], False),
    ],
)
def test_second_run(tmp_path: Path, tests: list[str], forgiven: bool) -> None:
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_it.py").write_text("import pytest\n" + FIRST_RUN + "\n".join(tests))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist.plugin"}
    first = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=environment, check=False)
    assert first.returncode == second_run.TESTS_FAILED
    assert second_run.passes_alone(first.returncode, environment, root=tmp_path) is forgiven


def test_a_run_that_pytest_could_not_finish_is_not_repeated(tmp_path: Path) -> None:
    assert second_run.passes_alone(3, dict(os.environ), root=tmp_path) is False

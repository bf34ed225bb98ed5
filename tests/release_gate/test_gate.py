"""A release is stopped by a step that fails, and by a step that could not make its check."""

import json
import sys
from pathlib import Path

import pytest

from scripts.release_gate import step
from scripts.release_gate.__main__ import run_steps
from scripts.release_gate.packages import audit
from scripts.release_gate.step import GateStepFailed, NotChecked

DJANGO = {"name": "django", "version": "5.2", "vulns": []}
UNKNOWN = {"name": "django", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {"name": "flask", "version": "0.1", "vulns": [{"id": "PYSEC-1"}, {"id": "CVE-2"}]}


def passing() -> str:
    return "fine"


def failing() -> str:
    raise GateStepFailed("a secret")


def blind() -> str:
    raise NotChecked("not checked: no advisories reachable")


def broken() -> str:
    raise KeyError("components")


@pytest.mark.parametrize(
    ("checks", "release", "rehearsal"),
    [
        ([passing, passing], 0, 0),
        ([passing, failing], 1, 1),
        ([passing, blind], 1, 0),
        ([blind, failing], 1, 1),
        ([blind], 1, 0),
        ([broken, passing], 1, 1),
    ],
)
def test_the_exit_code(
    checks: list, release: int, rehearsal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = {f"step{number}": ("A title", check) for number, check in enumerate(checks)}
    assert run_steps(steps, is_rehearsal=False) == release
    printed = capsys.readouterr().out
    assert ("NO RELEASE" in printed) is bool(release)
    assert run_steps(steps, is_rehearsal=True) == rehearsal


def test_every_step_runs_and_prints_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    steps = {"a": ("A", blind), "b": ("B", failing), "c": ("C", broken), "d": ("D", passing)}
    run_steps(steps, is_rehearsal=False)
    lines = capsys.readouterr().out.splitlines()
    beginnings = {
        "a         A … NOT CHECKED after 0 s: not checked: no advisories reachable",
        "b         B … FAILED after 0 s: a secret",
        "c         C … FAILED after 0 s: KeyError: 'components'",
        "d         D … passed after 0 s: fine",
    }
    assert beginnings <= set(lines)
    assert any("in broken" in line for line in lines), "the place where the step broke is printed"
    assert lines[-8:] == [
        "",
        "a  NOT CHECKED  0 s  not checked: no advisories reachable",
        "b  FAILED       0 s  a secret",
        "c  FAILED       0 s  KeyError: 'components'",
        "d  passed       0 s  fine",
        "",
        "1 of 4 steps passed, 1 not checked",
        "NO RELEASE",
    ]


def test_a_program_that_is_not_there_was_not_run() -> None:
    with pytest.raises(NotChecked, match=r"^no-such-program is not installed$"):
        step.run("no-such-program")


def test_packages_that_cannot_be_installed_stop_their_step_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        NotChecked, match=r"(?s)^requirements-gate\.txt cannot be installed: .*no virtual environment"
    ):
        step.ensure_environment(tmp_path, "requirements-gate.txt")


def pip_audit(directory: Path, *answers: object) -> Path:
    """A program that prints one answer for each call: a list of packages, or a text to stderr."""
    program, calls = directory / "pip-audit", directory / "calls"
    calls.write_text("0")
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"calls, answers = pathlib.Path({str(calls)!r}), json.loads({json.dumps(answers)!r})\n"
        "number = int(calls.read_text()); calls.write_text(str(number + 1))\n"
        "answer = answers[number]\n"
        "if isinstance(answer, str):\n    sys.exit(answer)\n"
        "print(json.dumps({'dependencies': answer}))\n"
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    "answers",
    [
        ["ERROR: cannot connect"],
        [""],
        [[UNKNOWN]],
        [[DJANGO], "ERROR: cannot connect"],
        [[DJANGO], [UNKNOWN]],
    ],
)
def test_without_advisories_nothing_was_checked(tmp_path: Path, answers: list) -> None:
    with pytest.raises(NotChecked, match=r"^not checked: no advisories reachable"):
        audit(pip_audit(tmp_path, *answers), [tmp_path], tmp_path)


def test_a_known_vulnerability_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateStepFailed, match=r"^flask 0\.1: PYSEC-1, CVE-2$"):
        audit(pip_audit(tmp_path, [DJANGO], [DJANGO, VULNERABLE]), [tmp_path], tmp_path)


def test_packages_without_a_vulnerability_pass(tmp_path: Path) -> None:
    program = pip_audit(tmp_path, [DJANGO], [DJANGO], [DJANGO, DJANGO])
    assert audit(program, [tmp_path, tmp_path], tmp_path) == "3 packages without a known vulnerability"

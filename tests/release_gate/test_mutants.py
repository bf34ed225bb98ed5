"""The runner of mutants gives the right verdicts: with hand-made mutants of toy.py, in real processes."""

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from scripts.local.config import ROOT
from scripts.release_gate.mutants import results
from scripts.release_gate.mutants.measuring import run_job
from scripts.release_gate.mutants.results import FileResult, find_faults, hash_files, is_current, read_results
from scripts.release_gate.mutants.targets import TARGETS, Target
from scripts.release_gate.mutants.verdicts import Baseline, Job, MutantJournal

TOY = "tests/release_gate/toy.py"


def find_lines() -> dict[str, tuple[int, int]]:
    """Returns the line of the function and the line of its last statement."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / TOY).read_text())):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = (node.lineno, node.body[-1].lineno)
    return found


def mutant(name: str, function: str, source: str, *, on_def: bool = False) -> dict[str, Any]:
    first, last = find_lines()[function.rpartition(".")[2]]
    return {
        "name": name,
        "file": TOY,
        "function": function,
        "function_line": first,
        "line": first if on_def else last,
        "source": source,
    }


MUTANTS = {
    "boundary": ("killed", "Basket.is_full", "def is_full(self):\n    return self.apples > 10\n"),
    "same": ("survived", "Basket.is_full", "def is_full(self):\n    return self.apples >= 9\n"),
    "decorated": ("killed", "add", "def add(one, other=1):\n    return one - other\n"),
    "default": ("killed", "add", "def add(one, other=2):\n    return one + other\n"),
    "cached": ("killed", "square", "def square(number):\n    return number + number\n"),
    "endless": ("too slow", "count_down", "def count_down(number):\n    while number > 0: pass\n"),
    "harmful": ("killed", "measure", "def measure(number):\n    LEFT_BEHIND.append(1)\n    return 0\n"),
    "after the harm": ("survived", "measure", "def measure(number):\n    return number - 0\n"),
    "dead": ("crashed", "measure", "def measure(number):\n    import os; os._exit(9)\n"),
    "uncovered": ("not reached", "never_called", "def never_called(number):\n    return None\n"),
    "senseless": ("invalid", "measure", "def measure(number):\n    return (\n"),
}


@pytest.mark.processes
def test_each_mutant_gets_its_verdict(tmp_path: Path) -> None:
    mutants = [
        mutant(name, function, source, on_def=name in ("default", "endless"))
        for name, (_verdict, function, source) in MUTANTS.items()
    ]
    job = Job(
        [TOY],
        ["tests/release_gate/toy_tests.py"],
        mutants,
        tmp_path / "baseline.json",
        tmp_path / "toy.journal",
        slow_seconds=2.0,
    )
    job.journal.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run_job(job, kept)
    found = {name: line["status"] for (_file, name), line in MutantJournal(job.journal).verdicts().items()}
    assert found == {name: verdict for name, (verdict, _function, _source) in MUTANTS.items()}
    baseline = Baseline.load(job.baseline)
    assert (len(baseline.tests), baseline.failed) == (3, [])
    (judge,) = baseline.find_tests(TOY, find_lines()["measure"][1])
    assert judge.endswith("::test_measure")


# --- The kept results ---------------------------------------------------------------------------------------------


def test_every_survivor_is_answered_and_every_measured_file_has_its_score() -> None:
    """The gate measures files that were not measured or have changed since."""
    assert [fault for fault in find_faults(read_results()) if not fault.endswith("was not measured")] == []


def test_the_document_has_the_results() -> None:
    assert results.build_table(read_results()) in (ROOT / "docs" / "SECURITY.md").read_text()


def test_each_target_exists_and_has_judges() -> None:
    for target in TARGETS:
        assert (ROOT / target.file).is_file(), target
        for test in target.tests:
            assert (ROOT / test).is_file(), test
    assert {target.area for target in TARGETS} == {"money", "sagas", "idempotency"}


def result(*, mutants: int = 100, killed: int = 85, answer: str = "the same") -> FileResult:
    return FileResult("", "", mutants, killed, {f"m{each}": answer for each in range(mutants - killed)})


def test_results_that_do_not_pass() -> None:
    names = [target.file for target in TARGETS]
    good = dict.fromkeys(names, result())
    assert find_faults(good) == []
    first = names[0]
    assert find_faults({name: good[name] for name in names[1:]}) == [f"{first} was not measured"]
    for wrong, text in (
        (result(killed=84), "84.0 %, at least 85 % are required"),
        (result(answer=" "), "15 survivors without an answer, first: m0"),
        (result(mutants=0, killed=0), "the sum is wrong"),
        (FileResult("", "", 100, 99, {}), "the sum is wrong"),
    ):
        assert any(text in fault for fault in find_faults({**good, first: wrong})), text


def test_a_result_is_current_while_the_file_and_its_judges_are(tmp_path: Path) -> None:
    target = Target("money", TOY, ["tests/release_gate/toy_tests.py"])
    now = FileResult(hash_files([TOY]), hash_files(target.tests), 1, 1, {})
    assert is_current(target, now)
    assert not is_current(target, None)
    for old in (FileResult("", now.tests, 1, 1, {}), FileResult(now.source, "", 1, 1, {})):
        assert not is_current(target, old)
    (tmp_path / "a.py").write_text("1")
    first = hash_files(["a.py"], tmp_path)
    (tmp_path / "a.py").write_text("2")
    assert hash_files(["a.py"], tmp_path) != first

"""What the processes of mutation testing read and write: the job, what each test reaches, and a journal of verdicts."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["killed", "survived", "not reached", "too slow", "crashed", "invalid", "retry"]
# Exit code of a worker that wants to be started again.
RESTART = 20


@dataclass(frozen=True, slots=True)
class Job:
    """`mutants` are dictionaries of `changes.Mutant`. `process_number` counts the processes that worked at this job. A
    test with a mutant may take ten times as long as without, and `slow_seconds` in any case."""

    files: list[str]
    tests: list[str]
    mutants: list[dict[str, Any]]
    baseline: Path
    journal: Path
    process_number: int = 0
    slow_seconds: float = 15.0

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def load(cls, path: Path) -> "Job":
        stored = json.loads(path.read_text())
        return cls(**{**stored, "baseline": Path(stored["baseline"]), "journal": Path(stored["journal"])})


@dataclass(frozen=True, slots=True)
class BaselineTest:
    """A test without any mutant: how long it takes, and which statements (file, line) it runs."""

    seconds: float
    reached: list[tuple[str, int]]


@dataclass(slots=True)
class Baseline:
    """`failed` are tests that fail without a mutant: they judge none."""

    tests: dict[str, BaselineTest] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def find_tests(self, file: str, line: int) -> list[str]:
        return [name for name, test in self.tests.items() if (file, line) in test.reached]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Baseline":
        stored = json.loads(path.read_text())
        return cls(
            tests={
                name: BaselineTest(test["seconds"], [(file, line) for file, line in test["reached"]])
                for name, test in stored["tests"].items()
            },
            failed=stored["failed"],
        )


@dataclass(frozen=True, slots=True)
class MutantVerdict:
    """`by` is the test that failed, or why the change is none. `restarts`: the process may be harmed."""

    status: Status
    by: str = ""
    restarts: bool = False


class MutantJournal:
    """One line for each beginning and each verdict. The time of the file is a sign of life."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, mutant: dict[str, Any], *, limit_seconds: float) -> None:
        self._write({"file": mutant["file"], "name": mutant["name"], "limit_seconds": limit_seconds})

    def decide(self, mutant: dict[str, Any], verdict: MutantVerdict) -> None:
        self._write(
            {"file": mutant["file"], "name": mutant["name"], "status": verdict.status, "by": verdict.by}
        )

    def touch(self) -> None:
        os.utime(self._path)

    def lines(self) -> Iterator[dict[str, Any]]:
        if self._path.exists():
            yield from map(json.loads, self._path.read_text().splitlines())

    def last_begun(self) -> dict[str, Any] | None:
        """The mutant at work, without a verdict yet."""
        last = None
        for last in self.lines():  # noqa: B007
            pass
        return last if last is not None and "status" not in last else None

    def verdicts(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(line["file"], line["name"]): line for line in self.lines() if "status" in line}

    def undecided(self, mutants: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those to be tried again come first."""
        decided = self.verdicts()
        again = {key for key, line in decided.items() if line["status"] == "retry"}
        left = [
            each
            for each in mutants
            if (each["file"], each["name"]) not in decided or (each["file"], each["name"]) in again
        ]
        return sorted(left, key=lambda each: (each["file"], each["name"]) not in again)

    def was_retried(self, mutant: dict[str, Any]) -> bool:
        line = self.verdicts().get((mutant["file"], mutant["name"]))
        return line is not None and line["status"] == "retry"

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as journal:
            journal.write(json.dumps(line, ensure_ascii=False) + "\n")

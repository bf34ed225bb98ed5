"""One pytest process that tests many mutants: python -m scripts.release_gate.mutants.worker JOB.json

Tests are collected once, and the database is made once. First every test runs alone, while each function records which
of its statements ran: this finds the tests that reach a mutant. Then each mutant is put into the running process, and
its tests run until one fails, those first that caught others of the same function, then the fast ones.

A test that failed must pass again without the mutant. If it does not, an earlier mutant has left something behind: the
process ends, and another one decides, in which the test passes before.
"""

import os
import signal
import sys
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from scripts.release_gate.mutants.live_code import LiveModule
from scripts.release_gate.mutants.verdicts import (
    RESTART,
    Baseline,
    BaselineTest,
    Job,
    MutantJournal,
    MutantVerdict,
)

# A test that takes this much longer with a mutant is stopped, and the mutant counts as caught.
SLOWER = 10.0


class TooSlow(BaseException):
    """Raised by the timer inside a test. Not an `Exception`, which code under test may catch."""


class _Anchor(pytest.Item):
    """The "next test" of every test: so pytest ends all fixtures but those of the session."""

    def runtest(self) -> None:
        raise AssertionError("never run")


@dataclass(frozen=True, slots=True)
class _Run:
    passed: bool
    skipped: bool
    seconds: float
    was_stopped: bool = False


class MutantRunner:
    """The plugin: in place of pytest's own loop over the tests."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._journal = MutantJournal(job.journal)
        self._modules: dict[str, LiveModule] = {}
        self._items: dict[str, pytest.Item] = {}
        self._caught: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """As a worker of pytest-xdist: an own database, copied from a migrated one, which later processes copy too."""
        config.workerinput = {"workerid": f"gw{self._job.process_number % 14}", "testrunuid": "mutants"}  # type: ignore[attr-defined]

    def pytest_sessionstart(self) -> None:
        """The first example that fails is enough: Hypothesis need not look for the smallest."""
        profile = hypothesis.settings.get_profile("same")
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", parent=profile, phases=phases)
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # pytest says which files it cannot import
        self._anchor: pytest.Item = _Anchor.from_parent(session, name="anchor")
        self._items = {item.nodeid: item for item in session.items}
        self._modules = {file: LiveModule(file) for file in self._job.files}
        baseline = self._load_baseline()
        for mutant in self._journal.undecided(self._job.mutants):
            verdict = self._judge(mutant, baseline, was_retried=self._journal.was_retried(mutant))
            self._journal.decide(mutant, verdict)
            if verdict.restarts:
                pytest.exit("another process goes on", returncode=RESTART)
        return True

    def _load_baseline(self) -> Baseline:
        if self._job.baseline.exists():
            return Baseline.load(self._job.baseline)
        found = Baseline()
        with ExitStack() as stack:
            reached: set[tuple[str, int]] = set()
            for module in self._modules.values():
                stack.enter_context(module.recording(lambda file, line: reached.add((file, line))))
            for name, item in self._items.items():
                reached.clear()
                run = self._run(item)
                if run.skipped:
                    continue
                if not run.passed:
                    found.failed.append(name)
                else:
                    found.tests[name] = BaselineTest(round(run.seconds, 3), sorted(reached))
        found.save(self._job.baseline)
        return found

    def _judge(self, mutant: dict[str, Any], baseline: Baseline, *, was_retried: bool) -> MutantVerdict:
        place = (mutant["file"], mutant["function"])
        tests = baseline.find_tests(mutant["file"], mutant["line"])
        caught = self._caught[place]
        tests.sort(key=lambda name: (-caught[name], baseline.tests[name].seconds))
        if not tests:
            return MutantVerdict("not reached")
        self._journal.begin(mutant, limit_seconds=self._limit(baseline, tests))
        try:
            killer, was_stopped = self._find_killer(mutant, baseline, tests, runs_before=was_retried)
        except (ValueError, SyntaxError, NameError, TypeError) as error:
            return MutantVerdict("invalid", by=repr(error))
        if killer is None:
            return MutantVerdict("survived", restarts=was_stopped)
        passes = self._run(self._items[killer]).passed
        if not passes and not was_retried:
            return MutantVerdict("retry", by=killer, restarts=True)
        caught[killer] += 1
        return MutantVerdict("too slow" if was_stopped else "killed", by=killer, restarts=not passes)

    def _find_killer(
        self, mutant: dict[str, Any], baseline: Baseline, tests: list[str], *, runs_before: bool
    ) -> tuple[str | None, bool]:
        """The first test that fails, and whether it was stopped. `runs_before`: the process is new, so each test runs
        without the mutant first."""
        module = self._modules[mutant["file"]]
        with module.changed(mutant["function"], mutant["function_line"], mutant["source"]):
            pass  # whether it can be changed at all
        for name in tests:
            item = self._items[name]
            if runs_before and not self._run(item).passed:
                continue
            with module.changed(mutant["function"], mutant["function_line"], mutant["source"]):
                run = self._run(item, self._slow_seconds(baseline, name))
            if not run.passed:
                return name, run.was_stopped
        return None, False

    def _slow_seconds(self, baseline: Baseline, name: str) -> float:
        return max(self._job.slow_seconds, SLOWER * baseline.tests[name].seconds)

    def _limit(self, baseline: Baseline, tests: list[str]) -> float:
        """Between two signs of life of this process."""
        return 60 + 2 * max(self._slow_seconds(baseline, name) for name in tests)

    def _run(self, item: pytest.Item, limit_seconds: float = 0.0) -> _Run:
        self._journal.touch()
        began = time.monotonic()
        stopped = False

        def stop(_number: int, _frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True
            raise TooSlow

        previous = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, limit_seconds, 5)  # again, if a callback swallows the first
        try:
            reports = runtestprotocol(item, log=False, nextitem=self._anchor)
        except TooSlow:  # outside the test itself
            return _Run(False, False, time.monotonic() - began, was_stopped=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        return _Run(
            passed=not any(report.failed for report in reports),
            skipped=any(report.skipped and not hasattr(report, "wasxfail") for report in reports),
            seconds=time.monotonic() - began,
            was_stopped=stopped,
        )


def main() -> int:
    job = Job.load(Path(sys.argv[1]))
    os.environ["DJANGO_SETTINGS_MODULE"] = "payment_platform.settings"
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"]
    return int(pytest.main([*options, *job.tests], plugins=[MutantRunner(job)]))


if __name__ == "__main__":
    sys.exit(main())

"""Tests of the tests: when one rule of the engine is broken, a test must fail.

Each mutation is made in a copy of the project; the unchanged copy passes the same tests. The judges are the tests of
the hard cases, which run all integrity checks at their end.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.local.config import ROOT
from tests.support.waiting import PATIENCE_SECONDS

ENGINE = "tests/sagas/test_hard_cases.py"
BANK = "tests/gateway/test_hard_cases.py"
COPIED = (
    "audit", "backoffice", "channel_accounts", "channels", "checkout", "common", "demo", "events", "fees", "gateway",
    "idempotency", "ledger", "locale", "merchants", "monitoring", "orders", "payment_platform", "payouts", "sagas",
    "settlements", "staff", "webhooks", "scripts", "templates", "tests", "manage.py", "pyproject.toml",
)  # fmt: skip
RUN_SECONDS = 2 * PATIENCE_SECONDS
DATABASE = (
    "mutations"  # a test database for all copies, which can share it because no mutation changes a table
)


@dataclass(frozen=True)
class Mutation:
    """Replaces `old`, a pattern that matches once in the file, by `new`. Then `test` must fail and print `symptom`."""

    name: str
    file: str
    old: str
    new: str
    test: str
    symptom: str

    def __str__(self) -> str:
        return self.name


UNKNOWN_FAILS = r"""\1
            step.status, step.in_doubt = StepStatus.FAILED, False
            _end_failed_group(saga, Failure("outcome_unknown", reason))
            return
"""

MUTATIONS = (
    Mutation(
        "the fence is not checked",
        "sagas/statements.py",
        r"( WHERE id = %\(id\)s\S*) AND fence = %\(fence\)s\S*(\n +AND \(%\(accepts_cancellation)",
        r"\1\2",
        f"{ENGINE}::test_a_stale_worker_cannot_end_a_saga_that_another_worker_ended",
        "fencing_tokens: ",
    ),
    Mutation(
        "unknown is taken for failure",
        "sagas/planner.py",
        r"(def _record_forward\b(?:.*\n)+? +case Unknown\(reason\):)\n",
        UNKNOWN_FAILS,
        f"{BANK}::test_a_charge_with_a_lost_answer_is_not_a_failure",
        "late_payments_refunded: ",
    ),
    Mutation(
        "compensation skips what is in doubt",
        "sagas/state.py",
        r" or self\.in_doubt or ",
        " or ",
        f"{ENGINE}::test_a_call_that_never_arrived_is_compensated",
        "compensated_sagas: ",
    ),
    Mutation(
        "a lease is never renewed",
        "sagas/statements.py",
        r"(lease_expires_at = CASE WHEN %\(keeps_lease\)s\S*\s+THEN) now\(\) \+ .* END",
        r"\1 lease_expires_at END",
        f"{ENGINE}::test_a_lease_is_renewed_with_every_commit",
        "assert [SagaState",
    ),
    Mutation(
        "expired leases are not claimed",
        "sagas/statements.py",
        r"WHERE \{which\} AND due_at <= now\(\)",
        "WHERE {which} AND due_at <= now() AND lease_expires_at IS NULL",
        f"{ENGINE}::test_a_saga_with_an_expired_lease_is_claimed",
        "saga_deadlines: ",
    ),
    Mutation(
        "compensation runs oldest first",
        "sagas/planner.py",
        r"in reversed\(saga\.steps\):",
        "in saga.steps:",
        f"{ENGINE}::test_a_step_in_doubt_is_compensated_before_older_steps",
        "compensation_order: ",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project that mutations may change."""
    directory = tmp_path_factory.mktemp("mutations") / "project"
    for name in COPIED:
        source, target = ROOT / name, directory / name
        if source.is_dir():
            # The bytecode is copied too: Python compiles only the changed file again.
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules", "*.pyc.*"))
        else:
            directory.mkdir(exist_ok=True)
            shutil.copy2(source, target)
    yield directory
    shutil.rmtree(directory)


def judge(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--reuse-db", "--tb=short"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env={**kept, "DB_NAME": DATABASE},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_mutations_are_caught(copy: Path, subtests: pytest.Subtests) -> None:
    sound = judge(copy, *{mutation.test for mutation in MUTATIONS})
    assert sound.returncode == 0, sound.stdout
    for mutation in MUTATIONS:
        with subtests.test(mutation.name):
            began = time.monotonic()
            caught = _judge_mutated(copy, mutation)
            assert caught.returncode == 1, f"no test noticed that {mutation}\n{caught.stdout}{caught.stderr}"
            assert mutation.symptom in caught.stdout, caught.stdout
            print(f"{mutation}: caught by {mutation.test} in {time.monotonic() - began:.1f} s")


def _judge_mutated(copy: Path, mutation: Mutation) -> subprocess.CompletedProcess[str]:
    file = copy / mutation.file
    text = file.read_text()
    mutated, found = re.subn(mutation.old, mutation.new, text)
    assert found == 1, f"'{mutation}' matches {mutation.file} {found} times"
    file.write_text(mutated)
    try:
        return judge(copy, mutation.test)
    finally:
        file.write_text(text)

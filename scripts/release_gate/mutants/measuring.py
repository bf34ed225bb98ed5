"""Starts the processes that test mutants, watches them, and collects their verdicts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.local import testing
from scripts.local.config import ROOT
from scripts.release_gate import step
from scripts.release_gate.mutants.results import FileResult, hash_files, read_results, write_results
from scripts.release_gate.mutants.targets import TARGETS, Target
from scripts.release_gate.mutants.verdicts import RESTART, Baseline, Job, MutantJournal, MutantVerdict
from scripts.release_gate.step import GateStepFailed

WORK = step.REPORTS / "mutation"
# Importing the tests, making the database, and all tests once: no sign of life is expected before.
START_SECONDS = 900.0
MAX_PROCESSES = 200
LOOK_SECONDS = 0.5


def measure(targets: Sequence[Target], *, only_survivors: bool = False) -> dict[str, FileResult]:
    """Returns all results, and writes those of each group of files at once: files with the same judges share processes.
    Answers that were given before are kept. `only_survivors`: after tests were added, what was killed need not be
    tested again; the files themselves must not have changed."""
    known = {target.file for target in TARGETS}
    results = {file: result for file, result in read_results().items() if file in known}
    if not targets:
        return results
    with testing.servers() as environment:
        for tests, group in _group(targets):
            files = [target.file for target in group]
            print(f"          {', '.join(files)} …", flush=True)
            kept = {file: _require_current(file, results) for file in files} if only_survivors else {}
            job = _make_job(files, tests, kept)
            run_job(job, environment)
            verdicts = MutantJournal(job.journal).verdicts()
            for file in files:
                results[file] = _summarize(file, tests, verdicts, results.get(file), kept.get(file))
            write_results(results)
    return results


def _group(targets: Sequence[Target]) -> Iterator[tuple[list[str], list[Target]]]:
    groups: dict[tuple[str, ...], list[Target]] = {}
    for target in targets:
        groups.setdefault(tuple(target.tests), []).append(target)
    for tests, group in groups.items():
        yield list(tests), group


def _require_current(file: str, results: Mapping[str, FileResult]) -> FileResult:
    if file not in results or results[file].source != hash_files([file]):
        raise GateStepFailed(f"{file} has changed since it was measured: measure all of it")
    return results[file]


def _make_job(files: list[str], tests: list[str], kept: Mapping[str, FileResult]) -> Job:
    make_mutants = _load_changes()
    mutants = [
        asdict(mutant)
        for file in files
        for mutant in make_mutants(file, (ROOT / file).read_text())
        if file not in kept or mutant.name in kept[file].survivors
    ]
    WORK.mkdir(parents=True, exist_ok=True)
    name = files[0].removesuffix(".py").replace("/", ".")
    job = Job(files, tests, mutants, WORK / f"{name}.baseline.json", WORK / f"{name}.journal")
    job.baseline.unlink(missing_ok=True)
    job.journal.write_text("")
    return job


def _load_changes() -> Callable[[str, str], list[Any]]:
    """mutmut is in the environment of the gate's tools, which comes last: it replaces no package of the project."""
    (site_packages,) = step.TOOLS.glob("lib/python3*/site-packages")
    if str(site_packages) not in sys.path:
        sys.path.append(str(site_packages))
    from scripts.release_gate.mutants.changes import make_mutants

    return make_mutants


def run_job(job: Job, environment: Mapping[str, str]) -> None:
    """One process after the other, each going on where the one before ended."""
    journal, path = MutantJournal(job.journal), job.journal.with_suffix(".job.json")
    log = job.journal.with_suffix(".log")
    log.unlink(missing_ok=True)
    for number in range(MAX_PROCESSES):
        replace(job, process_number=number).save(path)
        exit_code = _run_process(path, log, journal, job, environment)
        if exit_code == 0:
            failed = Baseline.load(job.baseline).failed
            if failed:
                print(f"          left out, they fail without a mutant: {', '.join(failed)}", flush=True)
            return
        begun = journal.last_begun()
        if begun is not None:
            status = "too slow" if exit_code == -signal.SIGKILL else "crashed"
            journal.decide(begun, MutantVerdict(status, by="the process"))  # type: ignore[arg-type]
        elif exit_code != RESTART:
            raise GateStepFailed(
                f"the process of the mutants ended with {exit_code}: {log.read_text()[-2000:]}"
            )
    raise GateStepFailed(f"{MAX_PROCESSES} processes were not enough: {log}")


def _run_process(
    path: Path, log: Path, journal: MutantJournal, job: Job, environment: Mapping[str, str]
) -> int:
    """Returns the exit code: that of SIGKILL for a process that gave no sign of life for too long."""
    command = [sys.executable, "-m", "scripts.release_gate.mutants.worker", str(path)]
    journal.touch()
    with log.open("a") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
        )
        try:
            while process.poll() is None:
                time.sleep(LOOK_SECONDS)
                begun = journal.last_begun()
                limit = begun["limit_seconds"] if begun else START_SECONDS
                if time.time() - job.journal.stat().st_mtime > limit:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return process.returncode


def _summarize(
    file: str,
    tests: Sequence[str],
    verdicts: Mapping[tuple[str, str], Mapping[str, str]],
    earlier: FileResult | None,
    kept: FileResult | None,
) -> FileResult:
    """`earlier` has the answers; `kept` is the result of which only the survivors were tested again."""
    own = {name: line["status"] for (of, name), line in verdicts.items() if of == file}
    tested = {name: status for name, status in own.items() if status != "invalid"}
    answers = earlier.survivors if earlier else {}
    left = sorted(name for name, status in tested.items() if status in ("survived", "not reached", "retry"))
    mutants = kept.mutants if kept else len(tested)
    return FileResult(
        source=hash_files([file]),
        tests=hash_files(tests),
        mutants=mutants,
        killed=mutants - len(left),
        survivors={name: answers.get(name, "") for name in left},
    )

"""Runs every step of the release gate, also after a failure, and prints a table: ./scripts/release-gate.sh

./scripts/release-gate.sh                       all steps
./scripts/release-gate.sh --only secrets,deploy some
./scripts/release-gate.sh --rehearsal           for a machine without advisories: not a release
"""

import argparse
import enum
import textwrap
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.local import errors
from scripts.local.errors import StackError
from scripts.release_gate import (
    components,
    deployment,
    mutation,
    packages,
    repository_secrets,
    step,
    tests_of_security,
)
from scripts.release_gate.step import GateStepFailed, NotChecked


class Result(enum.Enum):
    PASSED, FAILED, NOT_CHECKED = "passed", "FAILED", "NOT CHECKED"


Step = tuple[str, Callable[[], str]]
STEPS: dict[str, Step] = {
    "packages": ("Lists of components (SBOM, CycloneDX)", components.write_lists),
    "audit": ("Known vulnerabilities of what is installed", packages.find_vulnerabilities),
    "secrets": ("Secrets in the repository", repository_secrets.find_new_secrets),
    "deploy": ("check --deploy with the settings of production", deployment.check_deployment),
    "leaks": ("Secrets in logs, database, Redis, traces and messages", tests_of_security.find_leaks),
    "api": ("Requests made from the OpenAPI document", tests_of_security.try_the_api),
    "mutation": ("Changes of the code that no test notices", mutation.measure_score),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="The release gate (docs/SECURITY.md).")
    parser.add_argument("--only", metavar="NAMES", help=f"Some of {','.join(STEPS)}.")
    parser.add_argument(
        "--rehearsal", action="store_true", help="A step that could not look does not fail: no release."
    )
    arguments = parser.parse_args()
    names = (arguments.only or ",".join(STEPS)).split(",")
    unknown = set(names) - STEPS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Known: {', '.join(STEPS)}.")
    step.REPORTS.mkdir(parents=True, exist_ok=True)
    if len(names) < len(STEPS):
        print("some steps only: this is no release")
    return run_steps({name: STEPS[name] for name in names}, is_rehearsal=arguments.rehearsal)


@dataclass(frozen=True, slots=True)
class StepReport:
    """`summary` is one line; `details` has the rest of what a failed step printed."""

    name: str
    result: Result
    seconds: float
    summary: str
    details: str = ""


def run_steps(steps: Mapping[str, Step], *, is_rehearsal: bool) -> int:
    """Returns the exit code: 0 only when every step has passed; of a rehearsal also when one could not look."""
    reports = [_run(name, *steps[name]) for name in steps]
    print(f"\n{build_table(reports)}\n")
    results = [report.result for report in reports]
    passed, unchecked = results.count(Result.PASSED), results.count(Result.NOT_CHECKED)
    print(f"{passed} of {len(results)} steps passed{f', {unchecked} not checked' if unchecked else ''}")
    if passed == len(results):
        return 0
    if is_rehearsal and Result.FAILED not in results:
        print("a rehearsal: this is no release")
        return 0
    print("NO RELEASE")
    return 1


def build_table(reports: Sequence[StepReport]) -> str:
    rows = [(each.name, each.result.value, f"{each.seconds:.0f} s", each.summary) for each in reports]
    names, results, seconds, _summaries = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        f"{name:{names}}  {result:{results}}  {time_:>{seconds}}  {summary}"
        for name, result, time_, summary in rows
    )


def _run(name: str, title: str, check: Callable[[], str]) -> StepReport:
    """Prints one line, and below it the details of a failure."""
    print(f"{name:9} {title} … ", end="", flush=True)
    began = time.monotonic()
    try:
        text, result = check(), Result.PASSED
    except NotChecked as problem:
        text, result = str(problem), Result.NOT_CHECKED
    except (GateStepFailed, StackError) as problem:
        text, result = str(problem), Result.FAILED
    except Exception as problem:  # noqa: BLE001 a step that is broken does not keep the others from running
        text, result = f"{type(problem).__name__}: {problem}\n{traceback.format_exc()}", Result.FAILED
    seconds = time.monotonic() - began
    summary, _end, details = text.strip().partition("\n")
    print(f"{result.value} after {seconds:.0f} s: {summary}", flush=True)
    if details:
        print(textwrap.indent(details, "    "), flush=True)
    return StepReport(name, result, seconds, summary, details)


if __name__ == "__main__":
    errors.run(main)

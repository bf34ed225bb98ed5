"""Runs every step of the release gate, also after a failure, and prints a table: ./scripts/release-gate.sh

./scripts/release-gate.sh                       all steps
./scripts/release-gate.sh --only secrets,deploy some
./scripts/release-gate.sh --rehearsal           for a machine without advisories: not a release
"""

import argparse
import enum
import time
from collections.abc import Callable, Mapping

from scripts.local import errors
from scripts.local.errors import StackError
from scripts.release_gate import deployment, mutation, packages, repository_secrets, step, tests_of_security
from scripts.release_gate.step import GateStepFailed, NotChecked


class Result(enum.Enum):
    PASSED, FAILED, NOT_CHECKED = "passed", "FAILED", "NOT CHECKED"


Step = tuple[str, Callable[[], str]]
STEPS: dict[str, Step] = {
    "packages": ("The list of what is deployed (SBOM, CycloneDX)", packages.write_list),
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
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    if len(names) < len(STEPS):
        print("some steps only: this is no release")
    return run_steps({name: STEPS[name] for name in names}, is_rehearsal=arguments.rehearsal)


def run_steps(steps: Mapping[str, Step], *, is_rehearsal: bool) -> int:
    """Returns the exit code: 0 only when every step has passed; of a rehearsal also when one could not look."""
    results = [_run(name, *steps[name]) for name in steps]
    passed, unchecked = results.count(Result.PASSED), results.count(Result.NOT_CHECKED)
    print(f"\n{passed} of {len(results)} steps passed{f', {unchecked} not checked' if unchecked else ''}")
    if passed == len(results):
        return 0
    if is_rehearsal and Result.FAILED not in results:
        print("a rehearsal: this is no release")
        return 0
    print("NO RELEASE")
    return 1


def _run(name: str, title: str, check: Callable[[], str]) -> Result:
    print(f"{name:9} {title} …", flush=True)
    began = time.monotonic()
    try:
        summary, result = check(), Result.PASSED
    except NotChecked as problem:
        summary, result = str(problem), Result.NOT_CHECKED
    except (GateStepFailed, StackError) as problem:
        summary, result = str(problem), Result.FAILED
    seconds = time.monotonic() - began
    print(f"{result.value:>11} after {seconds:.0f} s: {summary}", flush=True)
    return result


if __name__ == "__main__":
    errors.run(main)

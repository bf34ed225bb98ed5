"""Runs every step of the release gate, also after a failure, and prints a table: ./scripts/release-gate.sh

./scripts/release-gate.sh                       all steps: half an hour
./scripts/release-gate.sh --only secrets,deploy some
"""

import argparse
import time
from collections.abc import Callable

from scripts.local import errors
from scripts.local.errors import StackError
from scripts.release_gate import deployment, mutation, packages, repository_secrets, step, tests_of_security
from scripts.release_gate.step import GateStepFailed

STEPS: dict[str, tuple[str, Callable[[], str]]] = {
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
    names = (parser.parse_args().only or ",".join(STEPS)).split(",")
    unknown = set(names) - STEPS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Known: {', '.join(STEPS)}.")
    step.REPORTS.mkdir(parents=True, exist_ok=True)
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    results = [_run(name) for name in names]
    print(f"\n{sum(results)} of {len(results)} steps passed")
    return 0 if all(results) else 1


def _run(name: str) -> bool:
    title, check = STEPS[name]
    print(f"{name:9} {title} …", flush=True)
    began = time.monotonic()
    try:
        summary, passed = check(), True
    except (GateStepFailed, StackError) as problem:
        summary, passed = str(problem), False
    seconds = time.monotonic() - began
    print(f"{'passed' if passed else 'FAILED':>9} after {seconds:.0f} s: {summary}", flush=True)
    return passed


if __name__ == "__main__":
    errors.run(main)

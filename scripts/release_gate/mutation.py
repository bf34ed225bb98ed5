"""Mutation testing of the engine, idempotency and money code (docs/SECURITY.md).

    ./scripts/release-gate.sh --only mutation                              what has changed since the kept results
    .venv/bin/python -m scripts.release_gate.mutation sagas/planner.py     these files
    .venv/bin/python -m scripts.release_gate.mutation --survivors FILE     after tests were added
    .venv/bin/python -m scripts.release_gate.mutation --all

`mutants/targets.py` says which files are changed, and which tests judge. The results are kept in
`mutation_results.json`, in which each survivor needs an answer; a new test is better.
"""

import argparse

from scripts.local import errors
from scripts.release_gate import step
from scripts.release_gate.mutants.measuring import measure
from scripts.release_gate.mutants.results import build_table, find_faults, is_current, read_results
from scripts.release_gate.mutants.targets import TARGETS
from scripts.release_gate.step import GateStepFailed


def measure_score() -> str:
    """Measures what has no current result, and requires the score and the answers of all."""
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    kept = read_results()
    results = measure([target for target in TARGETS if not is_current(target, kept.get(target.file))])
    faults = find_faults(results)
    if faults:
        raise GateStepFailed("; ".join(faults))
    mutants, killed = (
        sum(getattr(result, name) for result in results.values()) for name in ("mutants", "killed")
    )
    return f"{100 * killed / mutants:.1f} %: {killed} of {mutants} mutants killed, each survivor is answered"


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing (docs/SECURITY.md).")
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--all", action="store_true", help="Also files whose result is current.")
    parser.add_argument("--survivors", action="store_true", help="Only what survived before.")
    arguments = parser.parse_args()
    unknown = set(arguments.files) - {target.file for target in TARGETS}
    if unknown:
        parser.error(f"not in targets.py: {', '.join(sorted(unknown))}")
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    kept = read_results()
    results = measure(
        [
            target
            for target in TARGETS
            if target.file in arguments.files
            or (not arguments.files and (arguments.all or not is_current(target, kept.get(target.file))))
        ],
        only_survivors=arguments.survivors,
    )
    print(build_table(results))
    for name, result in results.items():
        for survivor, answer in result.survivors.items():
            print(f"{name}: {survivor}: {answer or 'NOT ANSWERED'}")
    return 0 if not find_faults(results) else 1


if __name__ == "__main__":
    errors.run(main)

"""Secrets in the repository: what detect-secrets finds beyond the examples that .secrets.baseline holds."""

import argparse
import json
from typing import Any

from scripts.local import errors
from scripts.local.config import ROOT
from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed

BASELINE = ROOT / ".secrets.baseline"
# Hashes of packages and files, pictures and translations look random.
LEFT_OUT = r"package-lock\.json$|mutation_results\.json$|\.po$|\.svg$|^\.secrets\.baseline$"


def find_new_secrets() -> str:
    """A finding is compared by file, kind and hash. Its line may change."""
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    known = _identities(json.loads(BASELINE.read_text()))
    found = _scan()
    new = _identities(found) - known
    if new:
        places = [
            f"{name}:{each['line_number']} ({each['type']})"
            for name, findings in found["results"].items()
            for each in findings
            if (name, each["type"], each["hashed_secret"]) in new
        ]
        raise GateStepFailed(
            f"{'; '.join(sorted(places))}. Remove them, or, if they are examples, record them: "
            "python -m scripts.release_gate.repository_secrets --record"
        )
    return f"{len(known)} known examples, nothing else"


def _scan() -> dict[str, Any]:
    scanned = step.run(step.TOOLS / "bin" / "detect-secrets", "scan", "--exclude-files", LEFT_OUT)
    if scanned.returncode != 0:
        raise GateStepFailed(scanned.stderr.strip()[-500:])
    result: dict[str, Any] = json.loads(scanned.stdout)
    return result


def _identities(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (name, each["type"], each["hashed_secret"])
        for name, findings in document["results"].items()
        for each in findings
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", required=True, help="Write what is there now.")
    parser.parse_args()
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    found = _scan()
    kept = {
        name: [{key: each[key] for key in ("type", "hashed_secret")} for each in findings]
        for name, findings in found["results"].items()
    }
    BASELINE.write_text(json.dumps({"version": found["version"], "results": kept}, indent=1) + "\n")
    print(f"recorded {sum(map(len, kept.values()))} findings: read them before you commit")
    return 0


if __name__ == "__main__":
    errors.run(main)

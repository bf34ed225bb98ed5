"""Steps that are tests of the suite, in their long form."""

import re
import sys

from scripts.local import testing
from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed, NotChecked

# A run of all processes: what they leave behind is searched for every secret of the run.
LEAKS = ["tests/observability/test_leaks.py", "tests/merchants/test_secrecy.py"]
# Random requests to each operation, and sequences of requests along the links of the document.
API = ["tests/api/test_openapi.py", "tests/api/test_openapi_links.py", "--long"]


def find_leaks() -> str:
    return _run(*LEAKS)


def try_the_api() -> str:
    return _run(*API)


def _run(*arguments: str) -> str:
    with testing.servers() as environment:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments]
        result = step.run(*command, env=environment)
    ending = re.findall(r"^.*\b(?:passed|failed|error)\b.*$", result.stdout, re.MULTILINE)
    if result.returncode != 0 or not ending:
        summary = ending[-1] if ending else f"pytest ended with {result.returncode}"
        raise GateStepFailed(f"{summary}\n{result.stdout[-4000:]}\n{result.stderr[-1000:]}")
    summary = str(ending[-1]).strip("= ")
    if "skipped" in summary:
        raise NotChecked(f"tests were skipped: {summary}")
    return summary

"""The committed results of mutation testing, with an answer for each survivor: mutation_results.json.

A result holds as long as neither the file nor its judges change.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.local.config import ROOT
from scripts.release_gate.mutants.targets import TARGETS, Target

FILE = Path(__file__).parent.parent / "mutation_results.json"
LEAST_SCORE = 85.0


@dataclass(frozen=True, slots=True)
class FileResult:
    """`source` and `tests` are hashes of the file and of its judges. `survivors` has the answer for each: why no test
    could catch the change, because the behaviour is the same or does not matter."""

    source: str
    tests: str
    mutants: int
    killed: int
    survivors: Mapping[str, str]

    @property
    def score(self) -> float:
        return 100 * self.killed / self.mutants if self.mutants else 0.0


def read_results(file: Path = FILE) -> dict[str, FileResult]:
    if not file.exists():
        return {}
    return {name: FileResult(**stored) for name, stored in json.loads(file.read_text()).items()}


def write_results(results: Mapping[str, FileResult], file: Path = FILE) -> None:
    order = [target.file for target in TARGETS if target.file in results]
    text = json.dumps({name: asdict(results[name]) for name in order}, indent=1, ensure_ascii=False)
    file.write_text(f"{text}\n")


def hash_files(names: Iterable[str], root: Path = ROOT) -> str:
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name}\n".encode())
        found.update((root / name).read_bytes() if (root / name).exists() else b"")
    return found.hexdigest()[:16]


def is_current(target: Target, result: FileResult | None) -> bool:
    return (
        result is not None
        and result.source == hash_files([target.file])
        and result.tests == hash_files(target.tests)
    )


def find_faults(results: Mapping[str, FileResult]) -> list[str]:
    """Why these results do not pass: a file without a result, a low score, a survivor without an answer."""
    faults = [f"{target.file} was not measured" for target in TARGETS if target.file not in results]
    for name, result in results.items():
        if result.mutants == 0 or result.killed + len(result.survivors) != result.mutants:
            faults.append(f"{name}: {result.mutants} mutants, {result.killed} killed: the sum is wrong")
        if result.score < LEAST_SCORE:
            faults.append(f"{name}: {result.score:.1f} %, at least {LEAST_SCORE:.0f} % are required")
        unanswered = [survivor for survivor, answer in result.survivors.items() if not answer.strip()]
        if unanswered:
            faults.append(f"{name}: {len(unanswered)} survivors without an answer, first: {unanswered[0]}")
    return faults


def build_table(results: Mapping[str, FileResult]) -> str:
    """The table of docs/SECURITY.md."""
    rows = [
        "| area | file | mutants | killed | survivors, each answered | score |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for target in TARGETS:
        if target.file in results:
            result = results[target.file]
            rows.append(
                f"| {target.area} | `{target.file}` | {result.mutants} | {result.killed} | {len(result.survivors)} |"
                f" {result.score:.1f} % |"
            )
    return "\n".join(rows)

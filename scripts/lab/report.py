"""The results of scenarios: stored as JSON, printed as one table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from scripts.lab.plan import Folders

COLUMNS = (
    "scenario",
    "load /s",
    "failovers",
    "requests",
    "confirmed",
    "healed",
    "refused",
    "lost",
    "doubled",
    "losing side",
    "books",
    "failover s",
    "recovery p50/max s",
    "client p50/max s",
    "as before s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """One run of a scenario. Seconds are measured from the fault."""

    scenario: str
    title: str
    at: str
    rounds: int
    writes_per_second: float  # confirmed, before the fault
    failovers: int
    requests: int
    confirmed: int
    healed: int  # confirmed after at least one error, with the same key
    refused: dict[str, int]  # final answers that are no success, by status
    errors: dict[str, int]  # of tries, by status or exception
    lost: list[str]
    doubled: list[str]
    losing_side: list[str] | None  # None: nobody wrote there
    disagreements: list[str]  # the books of platform and banks, integrity checks, what never came to rest
    failover_seconds: list[float] = field(default_factory=list)
    recovery_seconds: list[float] = field(default_factory=list)  # to the first confirmation after the outage
    client_seconds: list[float] = field(default_factory=list)  # the longest write of each client
    as_before_seconds: list[float | None] = field(default_factory=list)  # None: not within the round
    notes: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether the promise held: docs/HIGH-AVAILABILITY.md."""
        return not (self.lost or self.doubled or self.losing_side or self.disagreements or self.refused)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


def save(folders: Folders, result: ScenarioResult) -> None:
    _file(folders, result.scenario).write_text(
        json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n"
    )


def load_all(folders: Folders, names: Sequence[str]) -> list[ScenarioResult]:
    """Of the scenarios that have run, in this order."""
    files = [_file(folders, name) for name in names]
    return [ScenarioResult.from_json(file.read_text()) for file in files if file.exists()]


def _file(folders: Folders, scenario: str) -> Path:
    return folders.results / f"{scenario}.json"


def to_table(results: Sequence[ScenarioResult]) -> str:
    """Markdown, with columns of equal width so that it can be read in a terminal too."""
    rows = [list(COLUMNS), *[_row(result) for result in results]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _row(result: ScenarioResult) -> list[str]:
    return [
        result.scenario,
        f"{result.writes_per_second:.1f}",
        str(result.failovers),
        str(result.requests),
        str(result.confirmed),
        str(result.healed),
        str(sum(result.refused.values())),
        str(len(result.lost)),
        str(len(result.doubled)),
        "-" if result.losing_side is None else str(len(result.losing_side)),
        "agree" if not result.disagreements else f"{len(result.disagreements)} differ",
        _spread(result.failover_seconds),
        _spread(result.recovery_seconds),
        _spread(result.client_seconds),
        _spread(result.as_before_seconds),
    ]


def _spread(values: Sequence[float | None]) -> str:
    """Median and maximum; `>` when one of them was not over within its round, `never` when none was."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "never" if values else "-"
    # The upper one of two in the middle: no figure that was not measured.
    text = f"{known[len(known) // 2]:.1f} / {known[-1]:.1f}"
    return text if len(known) == len(values) else f"> {text}"


def describe(result: ScenarioResult) -> str:
    """What went wrong, in words; empty when the promise held."""
    parts: list[tuple[str, Any]] = [
        ("refused", result.refused),
        ("lost", result.lost),
        ("doubled", result.doubled),
        ("accepted on the losing side", result.losing_side),
        ("disagreements", result.disagreements),
        ("notes", result.notes),
    ]
    return "\n".join(f"  {name}: {value}" for name, value in parts if value)

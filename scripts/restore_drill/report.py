"""The table at the end of the drill. The last one is kept, and `./scripts/lab.sh report` prints it as well."""

from dataclasses import dataclass, field
from pathlib import Path

from scripts.local.config import ROOT

LAST_REPORT = ROOT / ".local" / "restore-drill.md"
PASSED, FAILED = "The drill has passed.", "The drill has failed."


@dataclass
class Report:
    """`failures` decide: the drill has passed when there are none."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        self.rows.append((name, str(value)))
        print(f"{name}: {value}", flush=True)

    def require(self, *, holds: bool, name: str, value: object) -> None:
        self.add(name, value)
        if not holds:
            self.failures.append(f"{name}: {value}")

    def to_text(self) -> str:
        """A table in Markdown, the failures and the verdict."""
        return "\n".join(
            [
                "| what | measured |",
                "| --- | --- |",
                *(f"| {name} | {value} |" for name, value in self.rows),
                *(f"FAILED {failure}" for failure in self.failures),
                "",
                FAILED if self.failures else PASSED,
            ]
        )

    def save(self, file: Path = LAST_REPORT) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.to_text() + "\n")


def read_last_report(file: Path = LAST_REPORT) -> str | None:
    """None: the drill has not run here."""
    return file.read_text() if file.exists() else None

"""The table at the end of the drill."""

from dataclasses import dataclass, field


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

    def print(self) -> None:
        print("\n| what | measured |\n| --- | --- |")
        for name, value in self.rows:
            print(f"| {name} | {value} |")
        for failure in self.failures:
            print(f"FAILED {failure}")
        print("\nThe drill has failed." if self.failures else "\nThe drill has passed.")

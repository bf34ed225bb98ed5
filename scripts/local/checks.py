"""What `./scripts/test.sh` runs: every check of this repository, or with arguments only pytest with these."""

import sys

from scripts.local import errors, testing

# Modules, not console scripts: those name the interpreter by a path that does not survive moving the project.
STATIC_CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy", "."],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
}
PYTEST = ["-m", "pytest", "-n", "auto"]


def main() -> int:
    arguments = sys.argv[1:]
    steps = {} if arguments else dict(STATIC_CHECKS)
    steps["pytest"] = [*PYTEST, *arguments]
    with testing.servers() as environment:
        failed = [name for name, command in steps.items() if not _passes(name, command, environment)]
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _passes(name: str, command: list[str], environment: dict[str, str]) -> bool:
    print(f"\n=== {name}", flush=True)
    return testing.run([sys.executable, *command], environment) == 0


if __name__ == "__main__":
    errors.run(main)

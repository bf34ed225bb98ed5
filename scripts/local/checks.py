"""What `./scripts/test.sh` runs: every check of this repository, or with arguments only pytest with these."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.local import errors, repeated_runs, testing

# Modules, not console scripts: those name the interpreter by a path that does not survive moving the project.
STATIC_CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy", "."],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
    "docs": ["-m", "mkdocs", "build", "--strict"],  # not --quiet: it hides broken links from --strict
}
PYTEST = ["-m", "pytest", "--dist", "worksteal", "-n"]
# pytest-randomly also seeds `random` before each test: workers would then choose the same ports.
RANDOM_ORDER = ["-p", "randomly", "--randomly-dont-reset-seed"]
# More than there are processors: tests that start and kill processes mostly wait.
WORKERS_BESIDE = 2
# Options with which a run is still one of everything.
WHOLE_SUITE = {"--random", "--long", "--record-seconds"}


def main() -> int:
    given = sys.argv[1:]
    arguments = [each for one in given for each in (RANDOM_ORDER if one == "--random" else [one])]
    with testing.servers() as environment:
        if set(given) <= WHOLE_SUITE:
            with StaticChecks(environment).running() as static:
                repeated_runs.forget_failures()
                workers = len(os.sched_getaffinity(0)) + WORKERS_BESIDE
                exit_code = _pytest(arguments, environment, workers=str(workers))
                passed = exit_code == 0 or repeated_runs.passes_alone(exit_code, environment)
                failed = [*static.failed(), *([] if passed else ["pytest"])]
        else:
            failed = ["pytest"] if _pytest(arguments, environment) else []
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _pytest(arguments: list[str], environment: dict[str, str], workers: str = "auto") -> int:
    print("\n=== pytest", flush=True)
    return testing.run([sys.executable, *PYTEST, workers, *arguments], environment)


class StaticChecks:
    """One after another while the tests run. With the same priority: what is left of them at the end would run on one
    processor alone."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._results: dict[str, tuple[int, str]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator["StaticChecks"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
            self._thread.join()

    def failed(self) -> list[str]:
        """Waits for the rest and prints what each had to say. Returns the names of those that failed."""
        self._thread.join()
        for name, (_code, output) in self._results.items():
            print(f"\n=== {name}\n{output}", end="", flush=True)
        return [name for name in STATIC_CHECKS if self._results.get(name, (1, ""))[0]]

    def _run(self) -> None:
        for name, command in STATIC_CHECKS.items():
            if self._stopped:
                return
            self._process = subprocess.Popen(
                [sys.executable, *command],
                env={**self._environment, "NO_MKDOCS_2_WARNING": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            output, _nothing = self._process.communicate()
            self._results[name] = (self._process.returncode, output)


if __name__ == "__main__":
    errors.run(main)

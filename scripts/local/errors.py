"""The error of the local stack, shown as one line."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType


class StackError(Exception):
    """The text says what is wrong and what to do."""


def run(main: Callable[[], int]) -> None:
    """Runs a command. Errors that a person can mend are one line on stderr, without a traceback.

    A signal to stop becomes an exception, so that the command undoes what it began.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    try:
        sys.exit(main())
    except StackError as error:
        sys.exit(f"ERROR {error}")
    except OSError as error:  # no permission, no space, read-only: the system's own words name the file
        sys.exit(f"ERROR {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, indented, for an error message."""
    if not log.exists():
        return f"  ({log} does not exist)"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in text)

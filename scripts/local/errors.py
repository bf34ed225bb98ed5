"""The one error of the local stack: a line for the person who typed the command."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType


class StackError(Exception):
    """Says what is wrong and what to do about it."""


def run(main: Callable[[], int]) -> None:
    """Run a command; what a person can mend is one line on stderr, never a traceback.

    A request to stop becomes an exception, so that whatever the command began is undone.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        sys.exit(main())
    except StackError as error:
        sys.exit(f"ERROR {error}")
    except OSError as error:  # no permission, no space, read-only: the system's own words name the file
        sys.exit(f"ERROR {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, indented, for an error message."""
    if not log.exists():
        return f"  ({log} does not exist)"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in text)

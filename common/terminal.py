"""The actor and the language of management commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.utils import translation

TERMINAL: Final = "terminal:"
LONGEST_NAME: Final = 150  # of a column that keeps a name


def terminal_name(name: str) -> str:
    """The actor of a staff action in a terminal. Empty when `name` is.

    A terminal proves no name. The prefix tells it from accounts of the back office, whose names have no colon.
    """
    return f"{TERMINAL}{name.strip()}"[:LONGEST_NAME] if name.strip() else ""


@contextmanager
def use_terminal_language() -> Iterator[None]:
    """Translates texts inside into the terminal's language: Chinese for a Chinese locale, else English."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    with translation.override("zh-hans" if locale.startswith("zh") else "en"):
        yield

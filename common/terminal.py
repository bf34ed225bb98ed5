"""What management commands have in common."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.utils import translation

TERMINAL: Final = "terminal:"
LONGEST_NAME: Final = 150  # of a column that keeps a name


def terminal_name(name: str) -> str:
    """The name under which an act in a terminal is recorded; empty when `name` is.

    A terminal proves no name. The prefix keeps it apart from the accounts of the back office: no user name has a colon.
    """
    return f"{TERMINAL}{name.strip()}"[:LONGEST_NAME] if name.strip() else ""


@contextmanager
def in_its_language() -> Iterator[None]:
    """Speaks as the terminal does: Chinese where its locale is, else English, as the commands' own words are."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    with translation.override("zh-hans" if locale.startswith("zh") else "en"):
        yield

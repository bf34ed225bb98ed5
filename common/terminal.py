"""What management commands have in common."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import translation


@contextmanager
def in_its_language() -> Iterator[None]:
    """Speaks as the terminal does: Chinese where its locale is, else English, as the commands' own words are."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    with translation.override("zh-hans" if locale.startswith("zh") else "en"):
        yield

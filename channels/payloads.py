"""Converts webhook bodies into JSON that PostgreSQL can store."""

import math
import re
from typing import Any

MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def make_storable(value: Any, depth: int = 0) -> Any:
    """Replaces the parts of parsed JSON that neither text nor jsonb can store.

    NUL and lone surrogates become their escapes, so that two different ids stay different. NaN, infinity, and
    everything below `MAX_DEPTH` become null.
    """
    match value:
        case str():
            return _UNSTORABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
        case float() if not math.isfinite(value):
            return None
        case dict() | list() if depth >= MAX_DEPTH:
            return None
        case dict():
            return {make_storable(name): make_storable(inner, depth + 1) for name, inner in value.items()}
        case list():
            return [make_storable(inner, depth + 1) for inner in value]
    return value

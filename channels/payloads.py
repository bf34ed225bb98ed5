"""Bodies of channels' webhooks as PostgreSQL can hold them."""

import math
import re
from typing import Any

MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any, depth: int = 0) -> Any:
    """Parsed JSON without what neither text nor jsonb can hold. NUL and lone surrogates become their escapes, so that
    two different ids stay different; numbers that are none, and what is nested too deep, become null."""
    match value:
        case str():
            return _UNSTORABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
        case float() if not math.isfinite(value):
            return None
        case dict() | list() if depth >= MAX_DEPTH:
            return None
        case dict():
            return {storable(name): storable(inner, depth + 1) for name, inner in value.items()}
        case list():
            return [storable(inner, depth + 1) for inner in value]
    return value

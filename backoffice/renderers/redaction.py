"""Payloads as staff may see them: secrets and card numbers are hidden."""

import json
from typing import Any

from common.redaction import PAGES, redact


def redacted_json(value: Any) -> str:
    """The value as indented JSON for a page, redacted."""
    return json.dumps(redact(value, PAGES), ensure_ascii=False, indent=2)

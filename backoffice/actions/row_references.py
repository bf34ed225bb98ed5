"""References to rows in the links and hidden fields of bulk actions: an id, with or without the revision seen."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.http import Http404
from django.utils.http import urlencode


def rows_action_url(operate_url: str, ids: Sequence[Any]) -> str:
    """Returns the address of an action on these rows."""
    return f"{operate_url}?{urlencode({'id': [str(each) for each in ids]}, doseq=True)}"


def row_version(row: Any) -> str:
    """Returns `id:revision`, for a hidden field: what the person has seen."""
    return f"{row.id}:{row.revision}"


def parse_row_version(text: str) -> tuple[str, int]:
    """Parses `id:revision`. Raises `Http404`."""
    row_id, _colon, revision = text.partition(":")
    if not revision.isdecimal() or len(revision) > 18:
        raise Http404
    return str(parse_row_id(row_id)), int(revision)


def parse_row_id(text: str) -> uuid.UUID:
    """Raises `Http404`."""
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise Http404 from error

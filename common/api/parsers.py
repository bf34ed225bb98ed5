"""Parses JSON bodies strictly, so that no value reaches PostgreSQL that it cannot hold."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser

from common.errors import BodyTooLarge, MalformedBody

MAX_DEPTH = 32


class StrictJsonParser(BaseParser):
    """RFC 8259 to the letter: no NaN or Infinity, no repeated names, no NUL, no lone surrogates, bounded size."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise BodyTooLarge({"limit_bytes": limit})
        return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """Raises `MalformedBody` with the place and the reason."""
    try:
        text = raw.decode()
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_names)
    except UnicodeDecodeError as error:
        raise MalformedBody({"body": ["not UTF-8"]}) from error
    except json.JSONDecodeError as error:
        raise MalformedBody({"body": [f"{error.msg} (line {error.lineno}, column {error.colno})"]}) from error
    except RecursionError as error:
        raise MalformedBody({"body": ["nested too deeply"]}) from error
    except ValueError as error:  # the interpreter's own limit on digits of an integer
        raise MalformedBody({"body": ["a number has too many digits"]}) from error
    _refuse_unstorable(value, path="", depth=0)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody({"body": [f"{name} is not JSON"]})


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(name for name, _value in pairs)
        repeated = sorted(name for name, count in counts.items() if count > 1)
        raise MalformedBody({_printable(name): ["given more than once"] for name in repeated})
    return result


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _refuse_unstorable(value: Any, *, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedBody({path or "body": ["nested too deeply"]})
    if isinstance(value, str):
        if "\x00" in value:
            raise MalformedBody({path or "body": ["holds a NUL character"]})
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise MalformedBody({path or "body": ["holds a lone surrogate"]})
    elif isinstance(value, dict):
        for name, inner in value.items():
            _refuse_unstorable(name, path=path, depth=depth + 1)
            _refuse_unstorable(inner, path=f"{path}.{name}".lstrip("."), depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_unstorable(inner, path=f"{path}.{index}".lstrip("."), depth=depth + 1)

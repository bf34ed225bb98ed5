"""Rows as CSV that opens in a spreadsheet: UTF-8 with its mark, and nothing in it that a spreadsheet would run."""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable
from typing import Any

from backoffice.exports.kinds import Column, ExportKind, Row
from common.clock import rfc3339
from common.spreadsheets import MARK, escape_formula


def header_line(kind: ExportKind) -> bytes:
    return (MARK + _as_csv([[column.name for column in kind.columns]])).encode()


def row_lines(kind: ExportKind, rows: Iterable[Row], zone: dt.tzinfo = dt.UTC) -> bytes:
    return _as_csv([[_cell(column, row, zone) for column in kind.columns] for row in rows]).encode()


def _cell(column: Column, row: Row, zone: dt.tzinfo) -> str:
    return escape_formula(_text(column.text(row), zone))


def _text(value: Any, zone: dt.tzinfo) -> str:
    match value:
        case dt.datetime():
            return (
                rfc3339(value) or ""
                if zone is dt.UTC
                else value.astimezone(zone).isoformat(timespec="seconds")
            )
        case None:
            return ""
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        case bool():
            return "true" if value else "false"
    return str(value).replace("\x00", "")


def _as_csv(lines: Iterable[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(lines)
    return file.getvalue()

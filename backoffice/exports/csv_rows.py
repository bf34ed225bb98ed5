"""Rows as CSV that opens in a spreadsheet: UTF-8 with its mark, and nothing in it that a spreadsheet would run."""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

from backoffice.exports.kinds import Column, ColumnType, Row
from common.clock import rfc3339
from common.spreadsheets import MARK, escape_formula, format_csv


def header_line(columns: Sequence[Column]) -> bytes:
    return (MARK + format_csv([[column.name for column in columns]])).encode()


def row_lines(columns: Sequence[Column], rows: Iterable[Row], zone: dt.tzinfo = dt.UTC) -> bytes:
    return format_csv([[_cell(column, row, zone) for column in columns] for row in rows]).encode()


def _cell(column: Column, row: Row, zone: dt.tzinfo) -> str:
    text = format_value(column.text(row), zone)
    # An amount may be negative: it is a number, and our own.
    return text if column.type is ColumnType.MONEY else escape_formula(text)


def format_value(value: Any, zone: dt.tzinfo) -> str:
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

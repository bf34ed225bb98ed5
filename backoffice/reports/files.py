"""Writes a report to a local file, as CSV or Parquet, with memory that does not grow with the rows."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backoffice.exports import csv_rows
from backoffice.exports.kinds import Column, ColumnType, Row
from backoffice.reports.models import FileFormat

if TYPE_CHECKING:
    import pyarrow

CSV_ROWS: Final = 1_000
GROUP_ROWS: Final = 20_000  # of a row group of Parquet, which is in memory as a whole
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WrittenFile:
    row_count: int
    byte_count: int
    sha256: str


def is_available(file_format: str) -> bool:
    """Parquet needs `requirements-reports.txt`."""
    return file_format == FileFormat.CSV or find_spec("pyarrow") is not None


def write_file(
    path: Path,
    *,
    file_format: str,
    columns: Sequence[Column],
    rows: Iterator[Row],
    zone: dt.tzinfo,
) -> WrittenFile:
    """The same rows make the same bytes."""
    write = _write_csv if file_format == FileFormat.CSV else _write_parquet
    count = write(path, columns, rows, zone)
    return WrittenFile(count, path.stat().st_size, hash_file(path))


def hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _split(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while part := list(islice(rows, size)):
        yield part


def _write_csv(path: Path, columns: Sequence[Column], rows: Iterator[Row], zone: dt.tzinfo) -> int:
    count = 0
    with path.open("wb") as file:
        file.write(csv_rows.header_line(columns))
        for part in _split(rows, CSV_ROWS):
            file.write(csv_rows.row_lines(columns, part, zone))
            count += len(part)
    return count


def _write_parquet(path: Path, columns: Sequence[Column], rows: Iterator[Row], zone: dt.tzinfo) -> int:
    import pyarrow
    import pyarrow.parquet

    types = {
        ColumnType.TEXT: pyarrow.string(),
        ColumnType.MONEY: pyarrow.decimal128(22, 3),  # three decimals, as the dinars have
        ColumnType.TIME: pyarrow.timestamp("us", tz=str(zone)),
        ColumnType.DAY: pyarrow.date32(),
        ColumnType.COUNT: pyarrow.int64(),
    }
    schema = pyarrow.schema([(column.name, types[column.type]) for column in columns])
    count = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in _split(rows, GROUP_ROWS):
            writer.write_table(_build_table(part, columns, schema, zone), row_group_size=GROUP_ROWS)
            count += len(part)
    return count


def _build_table(
    part: Iterable[Row], columns: Sequence[Column], schema: "pyarrow.Schema", zone: dt.tzinfo
) -> "pyarrow.Table":
    import pyarrow

    values = [[_convert(column, column.text(row), zone) for row in part] for column in columns]
    arrays = [pyarrow.array(each, type=field.type) for each, field in zip(values, schema, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _convert(column: Column, value: Any, zone: dt.tzinfo) -> Any:
    if value is None or column.type in (ColumnType.TIME, ColumnType.DAY, ColumnType.COUNT):
        return value
    return Decimal(value) if column.type is ColumnType.MONEY else csv_rows.format_value(value, zone)

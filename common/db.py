"""Database helpers that Django's ORM does not have."""

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, IntegrityError, connections, models, router
from django.db.models.expressions import DatabaseDefault
from psycopg import Error as PostgresError
from psycopg.errors import UniqueViolation

from common.database_errors import DatabaseErrorKind, classify_database_error

T = TypeVar("T")
log = structlog.get_logger(__name__)

# A deadlock ends one of two transactions. After three in a row the cause is another one.
CONFLICT_TRIES = 3


@dataclass(frozen=True, slots=True)
class _FromNow:
    seconds: float


def from_now(seconds: float = 0.0) -> Any:
    """A time by the database's clock, as a field's value in a row for `insert_unless_exists` or `insert_together`."""
    return _FromNow(seconds)


def repeat_on_conflict(transact: Callable[[], T]) -> T:
    """Runs a whole transaction, and again when a deadlock or a serialization failure rolled it back.

    `transact` opens the transaction itself. Raises what the last try raises.
    """
    for _try in range(CONFLICT_TRIES - 1):
        try:
            return transact()
        except DatabaseError as error:
            if classify_database_error(error) is not DatabaseErrorKind.CONFLICT:
                raise
            log.warning("database.conflict", error=str(error))
    return transact()


@contextmanager
def without_prepared_plans(alias: str) -> Iterator[None]:
    """Turns off prepared statements inside, because one plan does not serve both rare and frequent values."""
    connections[alias].ensure_connection()
    session = connections[alias].connection
    threshold, session.prepare_threshold = session.prepare_threshold, None
    try:
        yield
    finally:
        session.prepare_threshold = threshold


def is_duplicate(error: IntegrityError) -> bool:
    """Whether a unique constraint refused a row."""
    return isinstance(error.__cause__, UniqueViolation)


def violates(error: IntegrityError, constraint: str) -> bool:
    """Whether this constraint or unique index refused the row."""
    cause = error.__cause__
    return isinstance(cause, PostgresError) and cause.diag.constraint_name == constraint


def insert_unless_exists(row: models.Model) -> bool:
    """INSERT … ON CONFLICT DO NOTHING. False when a unique constraint already holds the row.

    Waits for a concurrent transaction that is inserting the same key, so False always means a committed row.
    Columns that the database fills in (`db_default`) are read back.
    """
    alias = router.db_for_write(type(row))
    returning = row._meta.db_returning_fields or [row._meta.pk]
    sql, params = _insert(row, alias)
    columns = ", ".join(f'"{field.column}"' for field in returning)
    with connections[alias].cursor() as cursor:
        cursor.execute(f"{sql} ON CONFLICT DO NOTHING RETURNING {columns}", params)
        values = cursor.fetchone()
    if values is None:
        return False
    for field, value in zip(returning, values, strict=True):
        setattr(row, field.attname, value)
    row._state.adding, row._state.db = False, alias
    return True


def insert_together(*rows: models.Model) -> None:
    """Inserts rows of any models in one statement. Foreign keys among them hold in any order.

    Columns that the database fills in are not read back.
    """
    alias = router.db_for_write(type(rows[0]))
    *first, last = rows
    sql, params = _insert(last, alias)
    if first:
        inserts = build_inserts(first)
        sql, params = f"WITH {inserts.sql} {sql}", {**inserts.params, **params}
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
    mark_inserted(rows)


@dataclass(frozen=True, slots=True)
class Inserts:
    """The INSERTs of several rows, for the `WITH` of a statement."""

    sql: str
    params: dict[str, Any]


def build_inserts(rows: Sequence[models.Model]) -> Inserts:
    """Builds INSERTs that PostgreSQL runs from the first row to the last: it runs those of a `WITH` that nothing refers
    to from the last to the first."""
    statements: list[str] = []
    params: dict[str, Any] = {}
    for number, row in enumerate(rows):
        sql, values = _insert(row, router.db_for_write(type(row)), prefix=f"{number}.")
        statements.append(f"row_{number} AS ({sql})")
        params.update(values)
    return Inserts(", ".join(reversed(statements)), params)


def mark_inserted(rows: Sequence[models.Model]) -> None:
    for row in rows:
        row._state.adding, row._state.db = False, router.db_for_write(type(row))


def _insert(row: models.Model, alias: str, prefix: str = "") -> tuple[str, dict[str, Any]]:
    """The INSERT of a row, and its parameters, whose names are those of the fields after `prefix`. Table and column
    names come from the model; values are parameters."""
    values = row.__dict__
    places: list[str] = []
    params: dict[str, Any] = {}
    for field, plain_type in _get_columns(type(row)):
        value = values[field.attname]
        if type(value) is plain_type:
            places.append(_VALUE)
            params[prefix + field.attname] = value
        elif type(value) is DatabaseDefault or (value is None and field.primary_key):
            places.append("")
        elif value is None:
            places.append("NULL")
        elif type(value) is _FromNow:
            places.append("STATEMENT_TIMESTAMP() + make_interval(secs => {}::float8)")
            params[prefix + field.attname] = value.seconds
        else:
            places.append(_VALUE)
            params[prefix + field.attname] = field.get_db_prep_save(value, connections[alias])
    return _compile_insert(type(row), tuple(places), prefix), params


_VALUE = "{}"  # where the parameter stands in the SQL of a column's value


# Values of these types go to psycopg as they are. Everything else is prepared by the field.
_PLAIN_TYPES = {
    "BigIntegerField": int,
    "BooleanField": bool,
    "CharField": str,
    "DateTimeField": dt.datetime,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "TextField": str,
    "UUIDField": uuid.UUID,
}


@functools.cache
def _get_columns(model: type[models.Model]) -> "list[tuple[models.Field[Any, Any], type | None]]":
    """The model's fields with a column, and the type of their plain values."""
    return [
        (field, _PLAIN_TYPES.get(_get_target(field).get_internal_type()))
        for field in model._meta.concrete_fields
    ]


def _get_target(field: "models.Field[Any, Any]") -> "models.Field[Any, Any]":
    return field.target_field if isinstance(field, models.ForeignKey) else field


@functools.lru_cache(maxsize=1024)
def _compile_insert(model: type[models.Model], places: tuple[str, ...], prefix: str) -> str:
    """`places` has the value of each column as SQL; an empty one leaves the column to its default."""
    given = [
        (field.column, place.format(f"%({prefix}{field.attname})s"))
        for field, place in zip(model._meta.concrete_fields, places, strict=True)
        if place
    ]
    columns = ", ".join(f'"{column}"' for column, _place in given)
    return (
        f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES ({", ".join(place for _, place in given)})'  # noqa: S608
    )

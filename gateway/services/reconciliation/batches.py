"""Reads both sides in batches. A temporary table keeps the names that the channel has listed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

from gateway.services.reconciliation.our_rows import get_listed_name

BATCH = 500

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def split_into_batches(entries: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(entries, BATCH)):
        yield batch


@contextmanager
def listed_names_table() -> Iterator[None]:
    """The table exists in this session only, and outside of a transaction: none is open while the channel is read."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE reconciled (reference text PRIMARY KEY)")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE reconciled")


def remember_listed(names: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO reconciled (reference) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [list(names)],
        )


def find_unlisted(rows: QuerySet[M]) -> Iterator[M]:
    """Those of our rows that the channel has not listed, oldest first."""
    after = None
    while True:
        remaining = rows.filter(pk__gt=after) if after is not None else rows
        batch = list(remaining.order_by("pk")[:BATCH])
        if not batch:
            return
        listed = _select_listed([get_listed_name(row) for row in batch])
        yield from (row for row in batch if get_listed_name(row) not in listed)
        after = batch[-1].pk


def _select_listed(names: list[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reference FROM reconciled WHERE reference = ANY(%s)", [names])
        return {name for (name,) in cursor.fetchall()}

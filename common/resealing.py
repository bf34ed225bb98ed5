"""Encrypts every sealed column of the platform with the newest master key, so that older ones can be removed.

The columns are found by their names (common/secret_columns.py). Each row is written by itself, and only if it has not
changed meanwhile: a process that dies leaves nothing half done, and the next run skips what is done.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from django.apps import apps
from django.db.models import Model

from common.crypto import SecretUnreadable, reseal
from common.secret_columns import sealed_columns

BATCH_ROWS = 500

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ResealProgress:
    """`unreadable`: no master key opens the value. `changed`: rows that another process wrote meanwhile; they are read
    again by the next run."""

    table: str
    read: int = 0
    resealed: int = 0
    changed: int = 0
    unreadable: int = 0

    @property
    def is_complete(self) -> bool:
        return not (self.changed or self.unreadable)


def reseal_all_tables() -> Iterator[ResealProgress]:
    """Yields the progress of a table after each batch; the object of a table is the same each time."""
    for model in apps.get_models():
        if columns := sealed_columns(model):
            yield from _reseal_table(model, columns)


def _reseal_table(model: type[Model], columns: list[str]) -> Iterator[ResealProgress]:
    progress = ResealProgress(model._meta.db_table)
    rows = model._default_manager.order_by("pk")
    last = None
    while True:
        batch = list((rows if last is None else rows.filter(pk__gt=last)).values("pk", *columns)[:BATCH_ROWS])
        for row in batch:
            _reseal_row(model, row["pk"], {name: row[name] for name in columns if row[name]}, progress)
        yield progress
        if len(batch) < BATCH_ROWS:
            return
        last = batch[-1]["pk"]


def _reseal_row(model: type[Model], pk: object, sealed: dict[str, str], progress: ResealProgress) -> None:
    progress.read += 1
    try:
        changes = {name: new for name, value in sealed.items() if (new := reseal(value)) is not None}
    except SecretUnreadable:
        progress.unreadable += 1
        log.error("reseal.unreadable", table=progress.table, row=str(pk))
        return
    if not changes:
        return
    if model._default_manager.filter(pk=pk, **sealed).update(**changes):
        progress.resealed += 1
    else:
        progress.changed += 1

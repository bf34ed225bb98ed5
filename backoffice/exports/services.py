"""Exports: asked for, written, downloaded and forgotten. Who takes data out is written down before the first byte."""

import gzip
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.exports import csv_rows, row_pages
from backoffice.exports.kinds import KINDS, Kind
from backoffice.exports.list_filters import LIST, InvalidListQuery, list_kind
from backoffice.exports.models import UNFINISHED, Export, ExportChunk, ExportStatus
from common import crash
from common.errors import OperationRefused, UnknownObject

log = structlog.get_logger(__name__)

PAGE_ROWS = 1_000  # of a streamed export: a short statement each
CHUNK_ROWS = 5_000
LEASE = timedelta(seconds=60)
CHUNKS_AT_ONCE = 40  # a long export lets others have the worker in between
MOST_CLAIMS = 5
KEPT_FOR = timedelta(days=7)


def request_export(
    *, kind_name: str, filters: Mapping[str, str], actor: str, reason: str, in_background: bool = False
) -> Export | Iterator[bytes]:
    """The lines themselves when they are few; otherwise, or where it is wished, a row that a worker will work on.

    Raises `OperationRefused`. In either case it is in the audit, committed, when this returns.
    """
    kind = _kind(kind_name)
    given = {name: value for name, value in filters.items() if value}
    if unknown := sorted(given.keys() - kind.filters.keys() - row_pages.TIMES.keys() - {LIST}):
        raise OperationRefused(
            _("%(kind)s cannot be filtered by: %(names)s.")
            % {"kind": kind.label, "names": ", ".join(unknown)}
        )
    if LIST in given and list_kind(given[LIST]) != kind.name:
        raise OperationRefused(_("These filters belong to another list."))
    most = settings.EXPORT_STREAMED_ROWS
    try:
        is_short = row_pages.count_up_to(kind, given, most + 1) <= most and not in_background
    except InvalidListQuery as error:
        raise OperationRefused(_("The list does not support these filters.")) from error
    limit = most if is_short else settings.EXPORT_MAX_ROWS
    export = Export(kind=kind.name, filters=given, requested_by=actor, reason=reason, row_limit=limit)
    with recording(
        StaffActionType.EXPORT_REQUESTED,
        ObjectType.EXPORT,
        export.pk,
        actor=actor,
        reason=reason,
        durable=True,
    ) as entry:
        if not is_short:
            export.save(force_insert=True)
        entry.after = {"kind": kind.name, "filters": given, "streamed": is_short, "row_limit": limit}
    return _stream(kind, given, limit) if is_short else export


def _stream(kind: Kind, filters: Mapping[str, str], limit: int) -> Iterator[bytes]:
    yield csv_rows.header_line(kind)
    for rows in row_pages.read_pages(kind, filters, size=PAGE_ROWS, limit=limit):
        yield csv_rows.row_lines(kind, rows)


def download(*, export_id: uuid.UUID, actor: str) -> Iterator[bytes]:
    """Raises `OperationRefused` unless it is done. Each download is in the audit."""
    export = Export.objects.filter(pk=export_id, status=ExportStatus.DONE).first()
    if export is None:
        raise OperationRefused(_("This export is not ready yet."))
    with recording(
        StaffActionType.EXPORT_DOWNLOADED,
        ObjectType.EXPORT,
        export_id,
        actor=actor,
        reason=export.reason,
        durable=True,
    ) as entry:
        entry.after = {"kind": export.kind, "rows": export.rows_written}
    return _chunks(export)


def _chunks(export: Export) -> Iterator[bytes]:
    yield csv_rows.header_line(_kind(export.kind))
    number = 0
    while (chunk := ExportChunk.objects.filter(export=export, number=number).first()) is not None:
        yield gzip.decompress(bytes(chunk.content))
        number += 1


def write_unfinished() -> int:
    """Works on every export that nobody works on, and answers how many chunks it wrote."""
    written = 0
    while (export := _claim()) is not None:
        for _chunk in range(CHUNKS_AT_ONCE):
            if not _write_chunk(export):
                break
            written += 1
        else:
            _let_go(export)
            break
    return written


def _claim() -> Export | None:
    """One that is free: new, or left behind by a worker that died. One that kills its workers is given up."""
    with transaction.atomic(durable=True):
        free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lte=Now())
        export = (
            Export.objects.filter(free, status__in=UNFINISHED)
            .order_by("created_at")
            .select_for_update(skip_locked=True)
            .first()
        )
        if export is None:
            return None
        given_up = export.claims_without_progress >= MOST_CLAIMS
        Export.objects.filter(pk=export.pk).update(
            status=ExportStatus.FAILED if given_up else ExportStatus.RUNNING,
            fence=F("fence") + 1,
            claims_without_progress=F("claims_without_progress") + 1,
            lease_expires_at=None if given_up else Now() + LEASE,
            finished_at=Now() if given_up else None,
        )
        export.refresh_from_db()
    if given_up:
        log.error("export.given_up", export_id=str(export.pk))
        return _claim()
    return export


def _write_chunk(export: Export) -> bool:
    """One page, its chunk and how far we got in one commit, under our fence. False when there is no more to do."""
    kind = _kind(export.kind)
    left = export.row_limit - export.rows_written
    size = min(CHUNK_ROWS, left)
    # One row more than fits tells whether the limit cuts something off.
    page = row_pages.read_page(
        kind, export.filters, after=export.position, size=size if left > size else size + 1
    )
    rows = page.rows[:size]
    is_last = len(page.rows) != size or left == size
    content = gzip.compress(csv_rows.row_lines(kind, rows))
    with transaction.atomic(durable=True):
        still_ours = Export.objects.filter(
            pk=export.pk, fence=export.fence, status=ExportStatus.RUNNING
        ).update(
            rows_written=F("rows_written") + len(rows),
            position=page.position,
            is_cut=len(page.rows) > size,
            status=ExportStatus.DONE if is_last else ExportStatus.RUNNING,
            lease_expires_at=None if is_last else Now() + LEASE,
            claims_without_progress=0,
            finished_at=Now() if is_last else None,
        )
        if not still_ours:  # somebody took over
            return False
        if rows:
            number = export.rows_written // CHUNK_ROWS
            ExportChunk.objects.create(export=export, number=number, content=content)
        crash.reach("export.chunk.before_commit")
    crash.reach("export.chunk.after_commit")
    export.refresh_from_db()
    return not is_last


def _let_go(export: Export) -> None:
    Export.objects.filter(pk=export.pk, fence=export.fence).update(lease_expires_at=Now())


def prune_exports() -> int:
    """What was asked for a week ago is gone; that it was, stays in the audit."""
    old = Export.objects.filter(created_at__lt=Now() - KEPT_FOR).order_by("created_at")[:100]
    deleted, _by_model = Export.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    return deleted


def _kind(name: str) -> Kind:
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownObject(_("There is no such export."))
    return kind

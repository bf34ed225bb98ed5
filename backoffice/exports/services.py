"""Exports: requested, written, downloaded, pruned. Requests and downloads are audited before the first byte."""

import datetime as dt
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
from backoffice.exports.kinds import KINDS, ExportKind
from backoffice.exports.list_filters import LIST, InvalidListQuery, list_kind
from backoffice.exports.models import UNFINISHED, Export, ExportChunk, ExportStatus
from common import crash
from common.errors import OperationRefused, UnknownObject
from common.postgresql.replica import read_near
from common.time_zones import find_zone

log = structlog.get_logger(__name__)

TIME_ZONE = "time_zone"  # the name of the zone among the filters of an export
PAGE_ROWS = 1_000  # of a streamed export: a short statement each
CHUNK_ROWS = 5_000
LEASE = timedelta(seconds=60)
CHUNKS_PER_TURN = 40  # then the worker takes the next export
MAX_CLAIMS_WITHOUT_PROGRESS = 5
RETENTION = timedelta(days=7)


def request_export(
    *, kind_name: str, filters: Mapping[str, str], actor: str, reason: str, in_background: bool = False
) -> Export | Iterator[bytes]:
    """Returns the CSV of a short export, or the row of a long one that a worker writes (`in_background`: always).

    The audit log entry is committed when this returns. Raises `OperationRefused`.
    """
    kind = _kind(kind_name)
    active_filters = {name: value for name, value in filters.items() if value}
    if unknown := sorted(
        active_filters.keys() - kind.filters.keys() - row_pages.TIMES.keys() - {LIST, TIME_ZONE}
    ):
        raise OperationRefused(
            _("%(kind)s cannot be filtered by: %(names)s.")
            % {"kind": kind.label, "names": ", ".join(unknown)}
        )
    if LIST in active_filters and list_kind(active_filters[LIST]) != kind.name:
        raise OperationRefused(_("These filters belong to another list."))
    most = settings.EXPORT_STREAMED_ROWS
    try:
        is_short = row_pages.count_up_to(kind, active_filters, most + 1) <= most and not in_background
    except InvalidListQuery as error:
        raise OperationRefused(_("The list does not support these filters.")) from error
    limit = most if is_short else settings.EXPORT_MAX_ROWS
    export = Export(
        kind=kind.name, filters=active_filters, requested_by=actor, reason=reason, row_limit=limit
    )
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
        entry.after = {"kind": kind.name, "filters": active_filters, "streamed": is_short, "row_limit": limit}
    return _stream(kind, active_filters, limit) if is_short else export


def _stream(kind: ExportKind, filters: Mapping[str, str], limit: int) -> Iterator[bytes]:
    yield csv_rows.header_line(kind.columns)
    for rows in row_pages.read_pages(kind, filters, size=PAGE_ROWS, limit=limit):
        yield csv_rows.row_lines(kind.columns, rows, _zone(filters))


def download(*, export_id: uuid.UUID, actor: str) -> Iterator[bytes]:
    """Raises `OperationRefused` unless the export is done. The audit log has each download."""
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
    yield csv_rows.header_line(_kind(export.kind).columns)
    number = 0
    while (chunk := ExportChunk.objects.filter(export=export, number=number).first()) is not None:
        yield gzip.decompress(bytes(chunk.content))
        number += 1


def write_unfinished() -> int:
    """Writes every unfinished export without a lease. Returns how many chunks it wrote."""
    written = 0
    while (export := _claim_export()) is not None:
        for _chunk in range(CHUNKS_PER_TURN):
            if not _write_chunk(export):
                break
            written += 1
        else:
            _release(export)
            break
    return written


def _claim_export() -> Export | None:
    """Claims an export that is new or whose lease has expired. One that keeps killing its workers fails."""
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
        is_given_up = export.claims_without_progress >= MAX_CLAIMS_WITHOUT_PROGRESS
        Export.objects.filter(pk=export.pk).update(
            status=ExportStatus.FAILED if is_given_up else ExportStatus.RUNNING,
            fence=F("fence") + 1,
            claims_without_progress=F("claims_without_progress") + 1,
            lease_expires_at=None if is_given_up else Now() + LEASE,
            finished_at=Now() if is_given_up else None,
        )
        export.refresh_from_db()
    if is_given_up:
        log.error("export.given_up", export_id=str(export.pk))
        return _claim_export()
    return export


def _write_chunk(export: Export) -> bool:
    """Writes one chunk and the progress in one commit, guarded by the fencing token. Returns whether there is more."""
    kind = _kind(export.kind)
    left = export.row_limit - export.rows_written
    size = min(CHUNK_ROWS, left)
    # One row more than fits shows whether the limit truncates the export.
    page = read_near(
        lambda database: row_pages.read_page(
            kind,
            export.filters,
            after=export.position,
            size=size if left > size else size + 1,
            database=database,
        ),
        not_before=export.created_at,
    )
    rows = page.rows[:size]
    is_last = len(page.rows) != size or left == size
    content = gzip.compress(csv_rows.row_lines(kind.columns, rows, _zone(export.filters)))
    with transaction.atomic(durable=True):
        is_ours = Export.objects.filter(pk=export.pk, fence=export.fence, status=ExportStatus.RUNNING).update(
            rows_written=F("rows_written") + len(rows),
            position=page.position,
            is_cut=len(page.rows) > size,
            status=ExportStatus.DONE if is_last else ExportStatus.RUNNING,
            lease_expires_at=None if is_last else Now() + LEASE,
            claims_without_progress=0,
            finished_at=Now() if is_last else None,
        )
        if not is_ours:  # another worker has claimed it
            return False
        if rows:
            number = export.rows_written // CHUNK_ROWS
            ExportChunk.objects.create(export=export, number=number, content=content)
        crash.reach("export.chunk.before_commit")
    crash.reach("export.chunk.after_commit")
    export.refresh_from_db()
    return not is_last


def _release(export: Export) -> None:
    Export.objects.filter(pk=export.pk, fence=export.fence).update(lease_expires_at=Now())


def prune_exports() -> int:
    """Deletes exports after a week. The audit log keeps the requests."""
    old = Export.objects.filter(created_at__lt=Now() - RETENTION).order_by("created_at")[:100]
    deleted, _by_model = Export.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    return deleted


def _zone(filters: Mapping[str, str]) -> dt.tzinfo:
    return find_zone(filters.get(TIME_ZONE, "")) or dt.UTC


def _kind(name: str) -> ExportKind:
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownObject(_("There is no such export."))
    return kind

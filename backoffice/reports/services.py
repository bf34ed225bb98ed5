"""Staff actions for scheduled reports: define and end a schedule, send a run again. Each is audited."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from django.db import IntegrityError
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from backoffice.reports import files
from backoffice.reports.destination_settings import NAME
from backoffice.reports.destinations import list_usable_names
from backoffice.reports.kinds import KINDS
from backoffice.reports.models import ReportRun, ReportRunStatus, ReportSchedule
from backoffice.reports.periods import find_period
from common.clock import database_now
from common.errors import OperationRefused
from common.time_zones import find_zone

MAX_AHEAD: Final = dt.timedelta(days=366)
MAX_BEHIND: Final = dt.timedelta(days=400)  # each period since then has a run at once


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """`first_day` is in the first period that is reported; None: the period that is current now."""

    name: str
    kind: str
    filters: Mapping[str, str]
    time_zone: str
    frequency: str
    run_time: dt.time
    file_format: str
    destination: str
    first_day: dt.date | None = None


def create_schedule(new: NewSchedule, *, actor: str, reason: str) -> ReportSchedule:
    """Raises `OperationRefused`."""
    zone = find_zone(new.time_zone)
    _refuse_invalid(new, zone)
    assert zone is not None
    first_day = new.first_day or database_now().astimezone(zone).date()
    schedule = ReportSchedule(
        name=new.name,
        kind=new.kind,
        filters={name: value for name, value in new.filters.items() if value},
        time_zone=new.time_zone,
        frequency=new.frequency,
        run_time=new.run_time,
        file_format=new.file_format,
        destination=new.destination,
        next_period_start=find_period(new.frequency, first_day).start,
        created_by=actor,
        reason=reason,
    )
    try:
        with recording(
            StaffActionType.REPORT_SCHEDULED, ObjectType.REPORT, schedule.pk, actor=actor, reason=reason
        ) as entry:
            schedule.save(force_insert=True)
            after = {**asdict(new), "run_time": f"{new.run_time:%H:%M}", "filters": schedule.filters}
            entry.after = {**after, "first_day": str(schedule.next_period_start)}
    except IntegrityError as error:
        raise OperationRefused(_("There is a scheduled report with this name already.")) from error
    return schedule


def _refuse_invalid(new: NewSchedule, zone: dt.tzinfo | None) -> None:
    if not NAME.fullmatch(new.name):
        raise OperationRefused(_("A name has at most 40 lower-case letters, digits and hyphens."))
    if zone is None:
        raise OperationRefused(_("There is no time zone “%(name)s”.") % {"name": new.time_zone})
    kind = KINDS[new.kind]
    given = {name for name, value in new.filters.items() if value}
    if unknown := sorted(given - set(kind.filters)):
        raise OperationRefused(
            _("%(kind)s cannot be filtered by: %(names)s.")
            % {"kind": kind.label, "names": ", ".join(unknown)}
        )
    if new.first_day and new.first_day > database_now().date() + MAX_AHEAD:
        raise OperationRefused(_("The first day is too far ahead."))
    if new.first_day and new.first_day < database_now().date() - MAX_BEHIND:
        raise OperationRefused(_("The first day is more than %(days)d days ago.") % {"days": MAX_BEHIND.days})
    if new.destination not in list_usable_names():
        raise OperationRefused(_("There is no such destination."))
    if not files.is_available(new.file_format):
        raise OperationRefused(_("This installation cannot write Parquet files."))


def end_schedule(*, schedule_id: uuid.UUID, actor: str, reason: str) -> None:
    """No run is made any more; those that were made are still sent. Raises `OperationRefused`."""
    with recording(
        StaffActionType.REPORT_ENDED, ObjectType.REPORT, schedule_id, actor=actor, reason=reason
    ) as entry:
        is_ended = ReportSchedule.objects.filter(pk=schedule_id, ended_at__isnull=True).update(ended_at=Now())
        if not is_ended:
            raise OperationRefused(_("This report has ended already."))
        entry.before, entry.after = {"ended": False}, {"ended": True}


def send_again(*, run_id: uuid.UUID, actor: str, reason: str) -> None:
    """Queues a run that is done or has failed. Its file is replaced. Raises `OperationRefused`."""
    with recording(
        StaffActionType.REPORT_RESENT, ObjectType.REPORT, run_id, actor=actor, reason=reason
    ) as entry:
        run = ReportRun.objects.select_for_update().get(pk=run_id)
        if run.status not in (ReportRunStatus.DONE, ReportRunStatus.FAILED):
            raise OperationRefused(_("This report is on its way already."))
        entry.before = {"status": run.status, "sha256": run.sha256}
        ReportRun.objects.filter(pk=run_id).update(
            status=ReportRunStatus.QUEUED, attempts=0, error="", retry_at=Now(), finished_at=None
        )
        entry.after = {"status": ReportRunStatus.QUEUED.value}

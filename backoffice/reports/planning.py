"""Makes the runs of schedules that are due: one for each period, also for those that were missed."""

import datetime as dt
import uuid
from typing import Final

import structlog
from django.db import transaction
from django.db.models.functions import Now

from backoffice.reports.models import ReportRun, ReportSchedule
from backoffice.reports.periods import ONE_DAY, Frequency, Period, compute_due_at, find_period
from common.clock import database_now
from common.time_zones import find_zone

log = structlog.get_logger(__name__)

MAX_PERIODS: Final = 100  # of a schedule in one run of the task; the next run continues


def plan_due_runs(*, now: dt.datetime | None = None) -> int:
    """Returns how many runs it made. `now` is the database's time unless given."""
    now = now or database_now()
    # The zone farthest ahead is in the next day already.
    begun = ReportSchedule.objects.filter(
        ended_at__isnull=True, next_period_start__lte=now.date() + ONE_DAY
    ).order_by("pk")
    return sum(_plan_schedule(pk, now) for pk in begun.values_list("pk", flat=True))


@transaction.atomic(durable=True)
def _plan_schedule(schedule_id: uuid.UUID, now: dt.datetime) -> int:
    """The lock on the schedule and the unique constraint on its runs keep a period from having two."""
    schedule = (
        ReportSchedule.objects.select_for_update(skip_locked=True)
        .filter(pk=schedule_id, ended_at__isnull=True)
        .first()
    )
    if schedule is None:
        return 0
    zone = find_zone(schedule.time_zone) or dt.UTC
    made = 0
    for _number in range(MAX_PERIODS):
        period = find_period(schedule.frequency, schedule.next_period_start)
        due_at = compute_due_at(period, run_time=schedule.run_time, zone=zone)
        if due_at > now:
            break
        ReportRun.objects.create(
            schedule=schedule,
            period_start=period.start,
            period_end=period.end,
            due_at=due_at,
            retry_at=Now(),
            file_key=build_file_key(schedule, period),
        )
        schedule.next_period_start = period.end
        made += 1
    if made:
        schedule.save(update_fields=["next_period_start"])
        log.info("report.planned", schedule=schedule.name, runs=made)
    return made


def build_file_key(schedule: ReportSchedule, period: Period) -> str:
    """`totals/totals-2026-11-28.csv`, `totals/totals-2026-11-23-to-2026-11-29.csv`, `totals/totals-2026-11.parquet`."""
    match Frequency(schedule.frequency):
        case Frequency.DAILY:
            span = f"{period.start}"
        case Frequency.WEEKLY:
            span = f"{period.start}-to-{period.end - ONE_DAY}"
        case Frequency.MONTHLY:
            span = f"{period.start:%Y-%m}"
    return f"{schedule.name}/{schedule.name}-{span}.{schedule.file_format}"

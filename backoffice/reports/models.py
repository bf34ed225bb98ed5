"""Scheduled reports and their runs. A schedule never changes: it is ended, and a new one takes its place."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from backoffice.reports.periods import Frequency
from common.ids import uuid7


class FileFormat(models.TextChoices):
    CSV = "csv", "CSV"
    PARQUET = "parquet", "Parquet"


class ReportRunStatus(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class ReportSchedule(models.Model):
    """A report, its frequency and its destination (a name in `REPORT_DESTINATIONS`, never credentials).

    `next_period_start` is the first day of the first period that has no run yet.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=60, unique=True)
    kind = models.CharField(_("report"), max_length=30)
    filters = models.JSONField(_("filters"), default=dict, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=50)
    frequency = models.CharField(_("frequency"), max_length=10, choices=Frequency)
    run_time = models.TimeField(_("time of day"))
    file_format = models.CharField(_("format"), max_length=10, choices=FileFormat)
    destination = models.CharField(_("destination"), max_length=40)
    next_period_start = models.DateField(_("next period"))
    created_by = models.CharField(_("created by"), max_length=150)
    reason = models.TextField(_("reason"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        db_table = "report_schedules"
        verbose_name = _("scheduled report")
        verbose_name_plural = _("scheduled reports")
        constraints = [
            models.CheckConstraint(
                name="report_schedule_known",
                condition=Q(frequency__in=Frequency.values, file_format__in=FileFormat.values),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ReportRun(models.Model):
    """The file of one period. `file_key` derives from schedule and period, so a repeated run replaces its own file."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    schedule = models.ForeignKey(
        ReportSchedule, on_delete=models.PROTECT, related_name="runs", db_index=False
    )
    period_start = models.DateField(_("first day"))
    period_end = models.DateField(_("day after the last"))
    due_at = models.DateTimeField(_("due at"))
    status = models.CharField(
        _("status"), max_length=10, choices=ReportRunStatus, default=ReportRunStatus.QUEUED
    )
    file_key = models.CharField(_("file"), max_length=200)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    row_count = models.BigIntegerField(_("rows"), null=True, blank=True)
    byte_count = models.BigIntegerField(_("bytes"), null=True, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    error = models.TextField(_("error"), blank=True)
    fence = models.BigIntegerField(default=0)
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        db_table = "report_runs"
        verbose_name = _("report run")
        verbose_name_plural = _("report runs")
        constraints = [
            models.UniqueConstraint(name="report_run_once", fields=["schedule", "period_start"]),
            models.CheckConstraint(
                name="report_run_valid",
                condition=Q(status__in=ReportRunStatus.values, period_start__lt=models.F("period_end"))
                & (
                    ~Q(status=ReportRunStatus.DONE)
                    | Q(
                        sha256__regex=r"^[0-9a-f]{64}$",
                        row_count__gte=0,
                        byte_count__gte=0,
                        finished_at__isnull=False,
                    )
                ),
            ),
            models.CheckConstraint(
                name="report_run_waits",
                condition=Q(
                    status__in=[ReportRunStatus.QUEUED, ReportRunStatus.RUNNING], retry_at__isnull=False
                )
                | Q(status__in=[ReportRunStatus.DONE, ReportRunStatus.FAILED], retry_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(name="report_run_waiting", fields=["retry_at"], condition=Q(retry_at__isnull=False)),
            models.Index(
                name="report_run_failed", fields=["due_at"], condition=Q(status=ReportRunStatus.FAILED)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.period_start}"

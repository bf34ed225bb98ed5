"""Long exports, which a worker writes in chunks. Each chunk is committed with the progress.

The chunks are in PostgreSQL, so that a worker on another host can continue, and so that they are deleted with their
export. A million rows are about 30 MB compressed.
"""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7


class ExportStatus(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


UNFINISHED = (ExportStatus.QUEUED, ExportStatus.RUNNING)


class Export(models.Model):
    """`position` is where the next chunk begins: after a crash, another worker resumes there."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=30)
    filters = models.JSONField(default=dict, blank=True)
    requested_by = models.CharField(max_length=150)
    reason = models.TextField()
    status = models.CharField(max_length=20, choices=ExportStatus, default=ExportStatus.QUEUED)
    rows_written = models.PositiveIntegerField(default=0)
    row_limit = models.PositiveIntegerField()
    is_cut = models.BooleanField(default=False, help_text=_("There were more rows than the limit."))
    position = models.JSONField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    claims_without_progress = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "exports"
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        constraints = [
            models.CheckConstraint(
                name="export_status_known", condition=models.Q(status__in=ExportStatus.values)
            ),
        ]
        indexes = [
            models.Index(
                name="export_unfinished", fields=["created_at"], condition=models.Q(status__in=UNFINISHED)
            ),
            models.Index(name="export_newest", fields=["-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M}"


class ExportChunk(models.Model):
    """A few thousand rows of CSV, compressed."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        db_table = "export_chunks"
        constraints = [models.UniqueConstraint(name="export_chunk_once", fields=["export", "number"])]

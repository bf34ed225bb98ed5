"""Results of the integrity checks, kept for the metric and the admin page."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ConsistencyRun(models.Model):
    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    since = models.DateTimeField(
        null=True, blank=True, help_text=_("Only what was created from then on. Empty: everything.")
    )
    with_fixes = models.BooleanField(default=False)
    failed_checks = models.PositiveIntegerField()

    class Meta:
        db_table = "consistency_runs"
        verbose_name = _("consistency run")
        verbose_name_plural = _("consistency runs")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S}"


class ConsistencyResult(models.Model):
    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ConsistencyRun, on_delete=models.CASCADE, related_name="results")
    name = models.CharField(max_length=100)
    passed = models.BooleanField()
    count = models.PositiveIntegerField(help_text=_("How many offenders there are."))
    sample = models.JSONField(default=list, blank=True)
    fixed = models.PositiveIntegerField(default=0)
    seconds = models.FloatField()

    class Meta:
        db_table = "consistency_results"
        verbose_name = _("consistency result")
        verbose_name_plural = _("consistency results")
        indexes = [models.Index(name="consistency_latest", fields=["name", "-id"])]

    def __str__(self) -> str:
        return self.name

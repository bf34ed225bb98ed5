"""Responses to disputes: evidence, first as a draft, or the acceptance of the loss."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from gateway.models.dispute import Dispute


class ResponseKind(models.TextChoices):
    EVIDENCE = "evidence", _("Evidence")
    ACCEPTANCE = "acceptance", _("Acceptance of the dispute")


class ResponseStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    SUBMITTING = "submitting", _("Being submitted")
    SUBMITTED = "submitted", _("Submitted")
    FAILED = "failed", _("Failed")


UNFINISHED_RESPONSES = (ResponseStatus.DRAFT, ResponseStatus.SUBMITTING)


class DisputeResponse(models.Model):
    """Of one dispute only one is being written or submitted. What was submitted never changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="responses", db_index=False)
    kind = models.CharField(max_length=20, choices=ResponseKind, default=ResponseKind.EVIDENCE)
    status = models.CharField(max_length=20, choices=ResponseStatus, default=ResponseStatus.DRAFT)
    texts = models.JSONField(default=dict, blank=True)
    saga_id = models.UUIDField(null=True, blank=True, unique=True, help_text=_("The saga that submits it."))
    submitted_by = models.CharField(max_length=150, blank=True)
    failure_code = models.CharField(max_length=100, blank=True, db_default="")
    failure_message = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    submitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "dispute_responses"
        verbose_name = _("dispute response")
        verbose_name_plural = _("dispute responses")
        constraints = [
            models.UniqueConstraint(
                name="dispute_response_one_unfinished",
                fields=["dispute"],
                condition=Q(status__in=UNFINISHED_RESPONSES),
            ),
            models.CheckConstraint(
                name="dispute_response_known",
                condition=Q(kind__in=ResponseKind.values, status__in=ResponseStatus.values),
            ),
        ]
        indexes = [models.Index(name="dispute_response_of", fields=["dispute", "created_at"])]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.dispute_id}"


class EvidenceFile(models.Model):
    """A file of a draft. The content is in Django's default storage under a random name: nobody can guess it, and it
    says nothing about the customer. It is only ever offered as a download."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    response = models.ForeignKey(
        DisputeResponse, on_delete=models.CASCADE, related_name="files", db_index=False
    )
    field = models.CharField(max_length=50)
    content = models.FileField(upload_to="evidence", max_length=200)
    original_name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=50)
    size_bytes = models.PositiveIntegerField()
    page_count = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    uploaded_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "evidence_files"
        verbose_name = _("evidence file")
        verbose_name_plural = _("evidence files")
        constraints = [
            models.UniqueConstraint(name="evidence_file_once", fields=["response", "field"]),
        ]

    def __str__(self) -> str:
        return self.original_name

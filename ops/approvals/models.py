"""What one person asked for and a second one decides. The database sees to it that they are two."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from sagas.availability import Operation


class ApprovalState(models.TextChoices):
    PENDING = "pending", _("Waits for a second person")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    STALE = "stale", _("Overtaken: the saga has moved on")


class Approval(models.Model):
    """The operation as it was asked for, on the revision that was seen."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.CharField(_("operation"), max_length=30, choices=Operation)
    saga_id = models.UUIDField(_("saga"))
    business_id = models.CharField(_("business id"), max_length=255)
    seen_revision = models.BigIntegerField(_("revision seen"))
    amount_minor = models.BigIntegerField(_("amount in minor units"))
    currency = models.CharField(_("currency"), max_length=3)
    reason = models.TextField(_("reason"))
    reason_code = models.CharField(_("reason code"), max_length=40, blank=True)
    ticket = models.CharField(_("ticket"), max_length=500, blank=True)
    result = models.TextField(_("result of the step"), blank=True)
    state = models.CharField(_("state"), max_length=20, choices=ApprovalState, default=ApprovalState.PENDING)
    requested_by = models.CharField(_("asked for by"), max_length=150)
    requested_at = models.DateTimeField(_("asked for at"), db_default=Now(), editable=False)
    decided_by = models.CharField(_("decided by"), max_length=150, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        db_table = "approvals"
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        constraints = [
            models.CheckConstraint(
                name="approval_by_a_second_person",
                condition=~models.Q(state="approved")
                | (~models.Q(decided_by="") & ~models.Q(decided_by=models.F("requested_by"))),
            ),
            models.CheckConstraint(
                name="approval_state_known", condition=models.Q(state__in=ApprovalState.values)
            ),
            models.UniqueConstraint(
                name="approval_one_pending_per_saga", fields=["saga_id"], condition=models.Q(state="pending")
            ),
        ]
        indexes = [models.Index(name="approval_by_saga", fields=["saga_id", "-requested_at"])]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} {self.business_id}"

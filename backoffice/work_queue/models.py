"""Decisions of staff about items of the work queue. The items themselves are derived (`open_items.py`)."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class ItemKind(models.TextChoices):
    PAYMENT = "payment", _("Payment")
    REFUND = "refund", _("Refund")
    SAGA = "saga", _("Saga")
    APPROVAL = "approval", _("Approval")
    DISPUTE = "dispute", _("Dispute")
    ENDPOINT = "endpoint", _("Webhook endpoint")
    SETTLEMENT_CASE = "settlement_case", _("Settlement case")
    PAYOUT_RUN = "payout_run", _("Payout run")
    PAYOUT = "payout", _("Payout")
    BANK_ACCOUNT = "bank_account", _("Bank account")


class WorkItem(models.Model):
    """The assignee, the snooze and the last note of one item. A row is made with the first of them; its history is in
    the audit log. A snooze that was set before the item's trouble began has no effect."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=20, choices=ItemKind)
    object_id = models.UUIDField(_("object"))
    assignee = models.CharField(_("assignee"), max_length=150, blank=True, db_default="")
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    snoozed_at = models.DateTimeField(_("snoozed at"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True, db_default="")
    noted_by = models.CharField(_("noted by"), max_length=150, blank=True, db_default="")
    noted_at = models.DateTimeField(_("noted at"), null=True, blank=True)

    class Meta:
        db_table = "work_items"
        verbose_name = _("work item")
        verbose_name_plural = _("work items")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(name="work_item_once", fields=["kind", "object_id"]),
            models.CheckConstraint(name="work_item_kind_known", condition=Q(kind__in=ItemKind.values)),
            models.CheckConstraint(
                name="work_item_snooze_complete",
                condition=Q(snoozed_until__isnull=True, snoozed_at__isnull=True)
                | Q(snoozed_until__isnull=False, snoozed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"

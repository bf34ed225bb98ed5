"""Fee plans, their versions and their merchants. Versions and assignments are append-only (migration 0002): the
next one ends the one before, so the terms of every moment can be read for ever."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from common.ids import uuid7
from merchants.models import Merchant


class FeePlan(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "fee_plans"
        verbose_name = _("fee plan")
        verbose_name_plural = _("fee plans")

    def __str__(self) -> str:
        return self.name


class FeePlanVersion(models.Model):
    """The terms of a plan from `valid_from` until the next version's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(FeePlan, on_delete=models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField(_("number"))
    terms = models.JSONField(_("terms"), help_text=_("Rates and refund rule (fees/formula.py)."))
    valid_from = models.DateTimeField(_("valid from"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "fee_plan_versions"
        verbose_name = _("version of a fee plan")
        verbose_name_plural = _("versions of fee plans")
        constraints = [
            models.UniqueConstraint(name="fee_plan_version_once", fields=["plan", "number"]),
            models.UniqueConstraint(name="fee_plan_version_at_one_time", fields=["plan", "valid_from"]),
        ]

    def __str__(self) -> str:
        return f"{self.plan} {self.number}"


class FeePlanAssignment(models.Model):
    """The plan of a merchant from `valid_from` until its next assignment. No plan: its payments have no fee."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="fee_plans", db_index=False)
    plan = models.ForeignKey(
        FeePlan, on_delete=models.PROTECT, null=True, blank=True, related_name="assignments"
    )
    valid_from = models.DateTimeField(_("valid from"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "fee_plan_assignments"
        verbose_name = _("fee plan of a merchant")
        verbose_name_plural = _("fee plans of merchants")
        constraints = [
            models.UniqueConstraint(name="fee_plan_assignment_once", fields=["merchant", "valid_from"]),
        ]

    def __str__(self) -> str:
        return f"{self.merchant}: {self.plan or '-'}"


class FeePlanChangeState(models.TextChoices):
    PENDING = "pending", pgettext_lazy("approval", "Pending")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")


class FeePlanChange(models.Model):
    """A version or an assignment that one person proposes and another one approves. Approving it creates the row.

    With `terms` it is a version of the plan `plan_name`, which is created when it does not exist; without, it assigns
    that plan, or none, to `merchant`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan_name = models.CharField(_("fee plan"), max_length=80, blank=True)
    merchant = models.ForeignKey(
        Merchant, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    terms = models.JSONField(_("terms"), null=True, blank=True)
    valid_from = models.DateTimeField(
        _("valid from"), null=True, blank=True, help_text=_("Empty: from its approval on.")
    )
    state = models.CharField(
        _("state"), max_length=10, choices=FeePlanChangeState, default=FeePlanChangeState.PENDING
    )
    reason = models.TextField(_("reason"))
    requested_by = models.CharField(_("requested by"), max_length=150)
    requested_at = models.DateTimeField(_("requested at"), db_default=Now(), editable=False)
    decided_by = models.CharField(_("decided by"), max_length=150, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        db_table = "fee_plan_changes"
        verbose_name = _("change of a fee plan")
        verbose_name_plural = _("changes of fee plans")
        constraints = [
            models.CheckConstraint(
                name="fee_plan_change_state_known", condition=Q(state__in=["pending", "approved", "rejected"])
            ),
            models.CheckConstraint(
                name="fee_plan_change_by_a_second_person",
                condition=~Q(state="approved") | (~Q(decided_by="") & ~Q(decided_by=F("requested_by"))),
            ),
            models.CheckConstraint(
                name="fee_plan_change_is_one_thing",
                condition=Q(terms__isnull=False, merchant=None) & ~Q(plan_name="")
                | Q(terms=None, merchant__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.plan_name or "-"

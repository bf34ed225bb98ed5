"""Requests for approval. The database enforces that requester and approver are two accounts."""

from typing import Final

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from backoffice.services.late_payments import PaymentReviewOperation
from common.ids import uuid7
from common.terminal import TERMINAL
from sagas.availability import Operation

REFUND: Final = "refund"
# `saga_id` of a refund is the refund's id, which its saga will get. An operation on late payments has the payment's id.
OPERATIONS: Final = [*Operation.choices, (REFUND, _("Refund")), *PaymentReviewOperation.choices]
PAYMENT_OPERATIONS: Final = (REFUND, *PaymentReviewOperation.values)


class ApprovalState(models.TextChoices):
    PENDING = "pending", _("Pending approval")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    STALE = "stale", _("Outdated: the object has changed")
    EXPIRED = "expired", _("Expired")


class Approval(models.Model):
    """The requested operation, on the revision that the requester saw. `business_id` is the saga's, or the number of
    the payment whose money the operation is about.

    `requested_by` is an account, or a name that somebody typed in a terminal (`common.terminal.terminal_name`).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.CharField(_("operation"), max_length=30, choices=OPERATIONS)
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
    requested_by = models.CharField(_("requested by"), max_length=150)
    requested_at = models.DateTimeField(_("requested at"), db_default=Now(), editable=False)
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
                | (
                    ~models.Q(decided_by="")
                    & ~models.Q(decided_by=models.F("requested_by"))
                    & ~models.Q(decided_by__startswith=TERMINAL)
                    & ~models.Q(requested_by__startswith=TERMINAL)
                ),
            ),
            models.CheckConstraint(
                name="approval_state_known", condition=models.Q(state__in=ApprovalState.values)
            ),
            models.UniqueConstraint(
                name="approval_one_pending_per_saga", fields=["saga_id"], condition=models.Q(state="pending")
            ),
            models.UniqueConstraint(
                name="approval_one_pending_per_payment",
                fields=["business_id"],
                condition=models.Q(state="pending", operation__in=PAYMENT_OPERATIONS),
            ),
            models.UniqueConstraint(
                name="approval_refund_asked_for_once",
                fields=["saga_id"],
                condition=models.Q(operation=REFUND),
            ),
        ]
        indexes = [models.Index(name="approval_by_saga", fields=["saga_id", "-requested_at"])]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} {self.business_id}"

    @property
    def is_about_payment(self) -> bool:
        return self.operation in PAYMENT_OPERATIONS

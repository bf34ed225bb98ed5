"""The saga tables. Column names follow the quick start; the engine's SQL is in `statements.py`."""

from collections.abc import Mapping

from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7


class SagaStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    IN_PROGRESS = "in_progress", _("In progress")
    COMPLETED = "completed", _("Completed")
    COMPENSATED = "compensated", _("Compensated")
    FAILED = "failed", _("Failed")


# The trigger of migration 0002 enforces the same pairs, and docs/ARCHITECTURE.md lists them; a test compares the three.
SAGA_TRANSITIONS: Mapping[SagaStatus, tuple[SagaStatus, ...]] = {
    SagaStatus.PENDING: (SagaStatus.IN_PROGRESS,),
    SagaStatus.IN_PROGRESS: (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED),
    SagaStatus.COMPLETED: (),
    SagaStatus.COMPENSATED: (),
    # Staff retry a saga whose compensation failed, while it needs review.
    SagaStatus.FAILED: (SagaStatus.IN_PROGRESS,),
}


class StepStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    COMPLETED = "completed", _("Completed")
    COMPENSATED = "compensated", _("Compensated")
    FAILED = "failed", _("Failed")


class Direction(models.TextChoices):
    FORWARD = "forward", _("Forward")
    COMPENSATING = "compensating", _("Compensating")


ACTIVE_SAGA_STATUSES = (SagaStatus.PENDING, SagaStatus.IN_PROGRESS)
DEFAULT_TASK_QUEUE = "default"
DEFAULT_FAIRNESS_KEY = "shared"


class SagaInstance(models.Model):
    """One run of a definition for one business object."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    business_id = models.CharField(max_length=255)
    business_type = models.CharField(max_length=50)
    definition = models.CharField(max_length=100)
    definition_version = models.PositiveIntegerField()
    status = models.CharField(max_length=50, choices=SagaStatus, default=SagaStatus.PENDING)
    direction = models.CharField(max_length=20, choices=Direction, default=Direction.FORWARD)
    past_pivot = models.BooleanField(
        default=False, help_text=_("The pivot has happened: the saga can only go forward.")
    )
    current_step = models.IntegerField(default=0)
    error_code = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, help_text=_("The data that the saga was started with."))

    task_queue = models.CharField(
        max_length=20,
        db_default=DEFAULT_TASK_QUEUE,
        editable=False,
        help_text=_("Each queue has workers of its own."),
    )
    fairness_key = models.CharField(
        max_length=64,
        db_default=DEFAULT_FAIRNESS_KEY,
        editable=False,
        help_text=_("Keys of one queue are scheduled round robin."),
    )
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(
        null=True, editable=False, help_text=_("The earliest retry of its steps, kept by a trigger.")
    )
    due_at = models.GeneratedField(
        expression=models.Case(
            models.When(
                models.Q(status__in=ACTIVE_SAGA_STATUSES, needs_attention=False),
                then=Coalesce("lease_expires_at", "retry_at", "waiting_until"),
            )
        ),
        output_field=models.DateTimeField(null=True),
        db_persist=True,
        help_text=_("A worker may claim the saga from then on."),
    )
    fence = models.BigIntegerField(
        default=0, help_text=_("The fencing token: each claim raises it, and a stale worker writes nothing.")
    )
    revision = models.BigIntegerField(
        default=0, help_text=_("Each write raises it: it names the state that a person has seen.")
    )
    claims_without_progress = models.PositiveIntegerField(default=0)
    deadline_at = models.DateTimeField()
    waiting_for = models.CharField(
        max_length=100, blank=True, db_default="", help_text=_("The signal that the saga waits for.")
    )
    waiting_until = models.DateTimeField(null=True, blank=True)
    signals_received = models.PositiveIntegerField(db_default=0, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    needs_attention = models.BooleanField(default=False)
    attention_reason = models.TextField(blank=True)
    trace_context = models.JSONField(default=dict, blank=True)

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)
    compensated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "saga_instances"
        verbose_name = _("saga")
        verbose_name_plural = _("sagas")
        permissions = [
            ("operate_sagainstance", "Can operate sagas: retry, query, skip, compensate, resolve, cancel")
        ]
        constraints = [
            models.CheckConstraint(
                name="saga_status_known", condition=models.Q(status__in=SagaStatus.values)
            ),
            models.CheckConstraint(
                name="saga_direction_known", condition=models.Q(direction__in=Direction.values)
            ),
            models.CheckConstraint(
                name="saga_at_rest_has_no_lease",
                condition=models.Q(status__in=ACTIVE_SAGA_STATUSES) | models.Q(lease_expires_at__isnull=True),
            ),
            models.CheckConstraint(
                name="saga_at_rest_waits_for_nothing",
                condition=models.Q(status__in=ACTIVE_SAGA_STATUSES) | models.Q(waiting_for=""),
            ),
            models.CheckConstraint(
                name="saga_wait_has_an_end",
                condition=models.Q(waiting_for="", waiting_until__isnull=True)
                | (~models.Q(waiting_for="") & models.Q(waiting_until__isnull=False)),
            ),
            models.UniqueConstraint(
                name="saga_one_open_per_business_object",
                fields=["definition", "business_id"],
                condition=models.Q(status__in=ACTIVE_SAGA_STATUSES),
            ),
        ]
        indexes = [
            models.Index(name="saga_due", fields=["due_at"], condition=models.Q(due_at__isnull=False)),
            models.Index(
                name="saga_due_by_fairness_key",
                fields=["task_queue", "fairness_key", "due_at"],
                condition=models.Q(due_at__isnull=False),
            ),
            models.Index(
                name="saga_attention", fields=["created_at"], condition=models.Q(needs_attention=True)
            ),
            models.Index(  # for the work queue
                name="saga_in_review_by_age", fields=["updated_at"], condition=models.Q(needs_attention=True)
            ),
            models.Index(name="saga_by_business_id", fields=["business_id", "created_at"]),
            models.Index(name="saga_newest", fields=["-created_at"]),
            models.Index(name="saga_newest_by_status", fields=["status", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.definition} {self.business_id}"


class SagaStep(models.Model):
    """One step of one saga. `failed` with `next_retry_at` set is waiting for a retry, in either direction."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    saga = models.ForeignKey(SagaInstance, on_delete=models.CASCADE, related_name="steps", db_index=False)
    step_order = models.IntegerField()
    step_name = models.CharField(max_length=255)
    status = models.CharField(max_length=50, choices=StepStatus, default=StepStatus.PENDING)
    in_doubt = models.BooleanField(
        default=False, help_text=_("A call was started and its outcome is unknown.")
    )
    compensating = models.BooleanField(
        default=False, help_text=_("The compensation of this step has started.")
    )
    call_number = models.PositiveIntegerField(
        default=1,
        db_default=1,
        help_text=_("Part of the idempotency key: raised when the earlier calls certainly had no effect."),
    )
    intended_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the intent of the call with this number was committed.")
    )
    execute_data = models.JSONField(null=True, blank=True)
    compensate_data = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    executed_at = models.DateTimeField(null=True, blank=True)
    compensated_at = models.DateTimeField(null=True, blank=True)
    retry_count = models.IntegerField(default=0)
    max_retry_count = models.IntegerField(default=3)
    next_retry_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "saga_steps"
        verbose_name = _("saga step")
        verbose_name_plural = _("saga steps")
        ordering = ["step_order"]
        constraints = [
            models.UniqueConstraint(name="saga_step_once", fields=["saga", "step_order"]),
            models.CheckConstraint(
                name="saga_step_status_known", condition=models.Q(status__in=StepStatus.values)
            ),
            models.CheckConstraint(
                name="saga_step_retry_only_when_failed",
                condition=models.Q(next_retry_at__isnull=True) | models.Q(status=StepStatus.FAILED),
            ),
            models.CheckConstraint(name="saga_step_retry_count", condition=models.Q(retry_count__gte=0)),
        ]
        indexes = [
            # The condition does not name the status, which a check constraint implies. Otherwise no update of a status
            # would be HOT, which is an update that writes the row and no index.
            models.Index(
                name="saga_step_due_retry",
                fields=["next_retry_at"],
                condition=models.Q(next_retry_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step_order} {self.step_name}"


class SagaSignal(models.Model):
    """A message for a saga from outside, stored once for each `signal_id`, also when no step ever needs it."""

    id = models.BigAutoField(primary_key=True)
    saga = models.ForeignKey(SagaInstance, on_delete=models.CASCADE, related_name="signals", db_index=False)
    signal_id = models.CharField(max_length=255)
    name = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    taken_at = models.DateTimeField(null=True, blank=True)
    taken_by = models.CharField(
        max_length=255, blank=True, db_default="", help_text=_("The step that consumed it.")
    )

    class Meta:
        db_table = "saga_signals"
        verbose_name = _("saga signal")
        verbose_name_plural = _("saga signals")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(name="saga_signal_once", fields=["saga", "signal_id"])]

    def __str__(self) -> str:
        return f"{self.name} {self.signal_id}"


class SagaEvent(models.Model):
    """The history of a saga: one row for each attempt, signal and staff action. The database refuses updates."""

    class Kind(models.TextChoices):
        ATTEMPT = "attempt", _("Attempt")
        SIGNAL = "signal", _("Signal")
        PERSON = "person", _("Staff action")

    id = models.BigAutoField(primary_key=True)
    saga = models.ForeignKey(SagaInstance, on_delete=models.CASCADE, related_name="events", db_index=False)
    kind = models.CharField(max_length=20, choices=Kind)
    step_name = models.CharField(max_length=255, blank=True)
    direction = models.CharField(max_length=20, choices=Direction, blank=True)
    outcome = models.CharField(max_length=30)
    detail = models.JSONField(default=dict)
    duration_ms = models.IntegerField(null=True)
    fence = models.BigIntegerField()
    worker = models.CharField(max_length=100, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "saga_events"
        verbose_name = _("saga event")
        verbose_name_plural = _("saga events")
        ordering = ["id"]
        indexes = [models.Index(name="saga_event_history", fields=["saga", "id"])]

    def __str__(self) -> str:
        return f"{self.step_name} {self.outcome}"

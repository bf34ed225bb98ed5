"""Operations on a running saga: by programs at any moment (the worker that holds it notices at its next commit), and by
staff, who decide on the revision that they have seen."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext as _

from common.clock import database_now
from common.db import violates
from common.errors import NotPermitted, StaleView, UnknownObject
from sagas import inspection, registry, wakeups
from sagas.availability import Operation, get_refusals
from sagas.definitions import Context, Definition
from sagas.models import (
    ACTIVE_SAGA_STATUSES,
    Direction,
    SagaEvent,
    SagaInstance,
    SagaStatus,
    SagaStep,
    StepStatus,
)
from sagas.outcomes import Json, StepFailed
from sagas.statements import WAKE

log = structlog.get_logger(__name__)


def wake_saga(*, saga_id: uuid.UUID) -> bool:
    """Makes a saga due now that waits or needs review. False when it has ended or a worker holds it already."""
    return _wake("id = %(saga_id)s", {"saga_id": saga_id})


def wake_sagas_of(*, business_id: str, definitions: Sequence[str]) -> bool:
    """Like `wake_saga`, for the sagas of these definitions about one business object."""
    return _wake(
        "business_id = %(business_id)s AND definition = ANY(%(definitions)s)",
        {"business_id": business_id, "definitions": list(definitions)},
    )


def _wake(which: str, values: Mapping[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAKE.format(which=which), values)
        task_queues = {task_queue for (task_queue,) in cursor.fetchall()}
    for task_queue in task_queues:
        wakeups.send_wakeup_after_commit(task_queue)
    return bool(task_queues)


def request_saga_cancellation(*, saga_id: uuid.UUID) -> bool:
    """Requests that a saga is compensated: it is, unless its pivot has happened. False when the saga has ended."""
    saga = SagaInstance.objects.filter(id=saga_id, status__in=ACTIVE_SAGA_STATUSES)
    with transaction.atomic():
        is_requested = saga.update(cancel_requested_at=Now(), revision=F("revision") + 1, updated_at=Now())
        if not is_requested:
            return False
        # A saga that waits is due at once; a worker that holds one notices the request at its next commit.
        saga.filter(lease_expires_at=None, needs_attention=False).update(lease_expires_at=Now())
        wakeups.send_wakeup_after_commit(saga.values_list("task_queue", flat=True).get())
    return True


# --- Operations of staff ------------------------------------------------------------------------------------
#
# Each is decided on the revision that the person saw (`seen_revision`), raises the fencing token, so that a stale
# worker writes nothing, and adds one row of history, all in one transaction.


def build_unknown_saga_error(saga_id: uuid.UUID) -> UnknownObject:
    return UnknownObject(_("There is no saga %(id)s.") % {"id": saga_id})


@dataclass(frozen=True, slots=True)
class SagaChange:
    operation: Operation
    saga_id: uuid.UUID
    revision: int
    before: Json
    after: Json


def retry_step(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """Retries the current step at once and resets its retries. Reopens a saga whose compensation failed."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        if step is not None:
            step.retry_count = 0
            if step.status == StepStatus.FAILED:  # a completed step is still to be compensated
                step.status = StepStatus.PENDING
        _make_due(saga)

    return _perform(Operation.RETRY_NOW, change, saga_id, seen_revision, actor, reason)


def query_channel(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """Makes the saga due: the engine queries a call in doubt before anything else. The retries are not reset."""

    def change(saga: SagaInstance, _step: SagaStep | None) -> None:
        _make_due(saga)

    return _perform(Operation.QUERY_CHANNEL, change, saga_id, seen_revision, actor, reason)


def skip_step(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str, result: Json) -> SagaChange:
    """Marks the current step as completed with `result`, which later steps read. While compensating, marks it as
    compensated; the step's own result stays."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        assert step is not None
        step.in_doubt, step.error_message = False, ""
        if saga.direction == Direction.FORWARD:
            step.status, step.result, step.executed_at = StepStatus.COMPLETED, dict(result), Now()
            saga.past_pivot = saga.past_pivot or _definition(saga).get_step(step.step_name).pivot
        else:
            step.status, step.compensate_data = StepStatus.COMPENSATED, dict(result)
            step.compensating, step.compensated_at = True, Now()
        _make_due(saga)

    recorded = {"result": dict(result)}
    return _perform(Operation.SKIP_STEP, change, saga_id, seen_revision, actor, reason, recorded)


def compensate_saga(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """Compensates the saga now. Merchants see the code below, never the reason that staff wrote."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        saga.direction = Direction.COMPENSATING
        saga.error_code, saga.error_message = "compensated_by_staff", "rolled back by staff"
        if step is not None and step.in_doubt:
            # The next worker calls at once, so the compensation, which has retries of its own, starts here.
            step.status, step.compensating, step.retry_count = StepStatus.PENDING, True, 0
        _make_due(saga)

    return _perform(Operation.COMPENSATE, change, saga_id, seen_revision, actor, reason)


def cancel_saga(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """`request_saga_cancellation` by staff: a pivot in doubt is queried first."""

    def change(saga: SagaInstance, _step: SagaStep | None) -> None:
        saga.cancel_requested_at = Now()
        _make_due(saga)

    return _perform(Operation.CANCEL, change, saga_id, seen_revision, actor, reason)


def resolve_saga(
    *, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str, resolution: str = ""
) -> SagaChange:
    """Closes a saga that needs review, with one of its definition's resolutions. A saga that is still open becomes
    `failed`, because the engine did not finish it. Calls in doubt stay marked as such."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        if saga.status in ACTIVE_SAGA_STATUSES:
            saga.status = SagaStatus.FAILED
            saga.error_code = saga.error_code or "resolved_by_staff"
            saga.error_message = saga.error_message or saga.attention_reason
        saga.needs_attention, saga.attention_reason = False, ""
        saga.lease_owner, saga.lease_expires_at = "", None
        saga.waiting_for, saga.waiting_until, saga.retry_at = "", None, None
        if step is not None:
            step.next_retry_at = None

    with transaction.atomic():
        recorded = _apply_resolution(saga_id, seen_revision, resolution)
        return _perform(Operation.MARK_RESOLVED, change, saga_id, seen_revision, actor, reason, recorded)


def _apply_resolution(saga_id: uuid.UUID, seen_revision: int, resolution: str) -> Json:
    """Applies the resolution to the business object, before `_perform` locks the saga's row: business rows are locked
    first. Without a saga or a definition it does nothing, and `_perform` refuses. Returns what the history records."""
    saga = SagaInstance.objects.filter(id=saga_id, revision=seen_revision, needs_attention=True).first()
    if saga is None:
        return {}
    definition = registry.find_definition(saga.definition, saga.definition_version)
    if definition is None:
        return {}
    resolutions = {each.name: each for each in definition.resolutions}
    chosen = resolutions.get(resolution) if resolution else next(iter(definition.resolutions), None)
    if chosen is None:
        if not resolution:
            return {}
        raise NotPermitted(
            _("%(definition)s has no resolution %(resolution)s. It has: %(resolutions)s.")
            % {
                "definition": definition.name,
                "resolution": resolution,
                "resolutions": ", ".join(resolutions) or "—",
            }
        )
    results = {step.step_name: step.result for step in saga.steps.all() if step.result is not None}
    try:
        chosen.apply(Context(saga.id, saga.business_id, saga.metadata, results))
    except StepFailed as refused:
        raise NotPermitted(refused.message) from refused
    return {"ending": chosen.name}


ApplyChange = Callable[[SagaInstance, SagaStep | None], None]


def _perform(
    operation: Operation,
    change: ApplyChange,
    saga_id: uuid.UUID,
    seen_revision: int,
    actor: str,
    reason: str,
    recorded: Json | None = None,
) -> SagaChange:
    """`recorded` is added to the values after the change, in the history."""
    if not actor.strip() or not reason.strip():
        raise NotPermitted(_("Give your name and a reason."))
    with transaction.atomic():
        saga = _lock_seen_saga(saga_id, seen_revision)
        steps = list(saga.steps.all())
        # The view is the one that was seen: locking the saga changed its fence and revision only.
        seen = inspection.build_saga_view(saga, steps, database_now())
        if refusal := get_refusals(seen)[operation]:
            raise NotPermitted(refusal)
        step = next((step for step in steps if seen.current and step.step_order == seen.current.order), None)
        before = _get_changeable_values(saga, step)
        change(saga, step)
        saga.current_step = sum(step.status == StepStatus.COMPLETED for step in steps)
        after = {**_get_changeable_values(saga, step), **(recorded or {})}
        _save(saga, step)
        SagaEvent.objects.create(
            saga=saga,
            kind=SagaEvent.Kind.PERSON,
            step_name=step.step_name if step else "",
            direction=seen.direction,
            outcome=operation,
            detail={"before": before, "after": after},
            fence=saga.fence,
            actor=actor,
            reason=reason,
        )
        if saga.status in ACTIVE_SAGA_STATUSES:
            wakeups.send_wakeup_after_commit(saga.task_queue)
    log.info("saga.operated", saga_id=str(saga_id), operation=operation.value, actor=actor)
    return SagaChange(operation, saga_id, saga.revision, before, after)


def _lock_seen_saga(saga_id: uuid.UUID, seen_revision: int) -> SagaInstance:
    """Locks the saga if it still has the revision that was seen, and raises its fence. Of two people at the same moment
    one succeeds."""
    row = SagaInstance.objects.filter(id=saga_id)
    locked = row.filter(revision=seen_revision).update(
        fence=F("fence") + 1, revision=F("revision") + 1, updated_at=Now()
    )
    saga = row.first()
    if saga is None:
        raise build_unknown_saga_error(saga_id)
    if not locked:
        raise StaleView(seen_revision=seen_revision, current_revision=saga.revision)
    return saga


def _make_due(saga: SagaInstance) -> None:
    """Makes the saga due now, with its whole deadline again: people usually act after the deadline, which must not
    compensate what they have just decided. A step that waits has its whole timeout again."""
    saga.status = SagaStatus.IN_PROGRESS if saga.status == SagaStatus.FAILED else saga.status
    saga.needs_attention, saga.attention_reason = False, ""
    if saga.direction == Direction.FORWARD:
        saga.error_code = saga.error_message = ""
    saga.claims_without_progress = 0
    saga.lease_owner, saga.lease_expires_at = "", Now()
    saga.waiting_for, saga.waiting_until = "", None
    saga.deadline_at = Greatest(
        F("deadline_at"), Now() + timedelta(seconds=_definition(saga).deadline_seconds)
    )


def _definition(saga: SagaInstance) -> Definition:
    definition = registry.find_definition(saga.definition, saga.definition_version)
    assert definition is not None, "an operation on a definition that this release does not know is refused"
    return definition


def _save(saga: SagaInstance, step: SagaStep | None) -> None:
    if step is not None:
        if step.status != StepStatus.FAILED:
            step.next_retry_at = None
        step.updated_at = Now()
        step.save()
    try:
        saga.save()
    except IntegrityError as error:
        if not violates(error, "saga_one_open_per_business_object"):
            raise
        raise NotPermitted(_("Another saga of the same object is open: it must end first.")) from error


def _get_changeable_values(saga: SagaInstance, step: SagaStep | None) -> dict[str, Any]:
    """The values that an operation may change."""
    values: dict[str, Any] = {
        "status": str(saga.status),
        "direction": str(saga.direction),
        "past_pivot": saga.past_pivot,
        "needs_attention": saga.needs_attention,
        "attention_reason": saga.attention_reason,
        "cancel_requested": saga.cancel_requested_at is not None,
    }
    if step is not None:
        values["step"] = {
            "name": step.step_name,
            "status": str(step.status),
            "in_doubt": step.in_doubt,
            "compensating": step.compensating,
            "retry_count": step.retry_count,
        }
    return values

"""What others may ask of a running saga: programs at any moment, since the worker that holds it learns at its next
commit, and people, who decide on what they saw."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, TextField, Value, When
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext as _

from common.clock import database_now
from common.db import violates
from common.errors import NotPermitted, StaleView, UnknownObject
from sagas import inspection, registry, wakeups
from sagas.availability import Operation, allowed
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

log = structlog.get_logger(__name__)

_IN_REVIEW_FORWARD = Q(needs_attention=True, direction=Direction.FORWARD)


def wake_saga(*, saga_id: uuid.UUID) -> bool:
    """Makes a saga due now that waits or needs review. False when it has ended or a worker holds it already."""
    with transaction.atomic():
        woken = SagaInstance.objects.filter(
            id=saga_id, status__in=ACTIVE_SAGA_STATUSES, lease_expires_at__isnull=True
        ).update(
            lease_expires_at=Now(),
            # What failed past the point of no return is tried again. A failure that nobody was told of stands: the
            # saga turns back once the calls beside it are decided.
            error_code=Case(
                When(_IN_REVIEW_FORWARD, then=Value("")), default=F("error_code"), output_field=TextField()
            ),
            error_message=Case(
                When(_IN_REVIEW_FORWARD, then=Value("")), default=F("error_message"), output_field=TextField()
            ),
            needs_attention=False,
            attention_reason="",
            claims_without_progress=0,
            revision=F("revision") + 1,
            updated_at=Now(),
        )
        if woken:
            _send_wakeup(saga_id)
    return bool(woken)


def request_saga_cancellation(*, saga_id: uuid.UUID) -> bool:
    """Asks a saga to turn back. It does, unless its pivot has happened or may have. False when it is over."""
    with transaction.atomic():
        asked = SagaInstance.objects.filter(id=saga_id, status__in=ACTIVE_SAGA_STATUSES).update(
            cancel_requested_at=Now(), revision=F("revision") + 1, updated_at=Now()
        )
        SagaInstance.objects.filter(
            Q(lease_expires_at__isnull=True),
            id=saga_id,
            status__in=ACTIVE_SAGA_STATUSES,
            needs_attention=False,
        ).update(lease_expires_at=Now())
        if asked:
            _send_wakeup(saga_id)
    return bool(asked)


def _send_wakeup(saga_id: uuid.UUID) -> None:
    wakeups.send_wakeup_after_commit(
        SagaInstance.objects.values_list("task_queue", flat=True).get(id=saga_id)
    )


# --- What a person may do ----------------------------------------------------------------------------------
#
# Each is decided on the picture the person saw (`seen_revision`), takes the saga's next fence, so that a worker that
# only sleeps writes nothing any more, and leaves one row of history, all in one transaction.


def unknown_saga(saga_id: uuid.UUID) -> UnknownObject:
    return UnknownObject(_("There is no saga %(id)s.") % {"id": saga_id})


@dataclass(frozen=True, slots=True)
class SagaChange:
    operation: Operation
    saga_id: uuid.UUID
    revision: int
    before: Json
    after: Json


def retry_step(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """The current step is tried at once with a fresh budget of retries. Reopens a saga whose compensation failed."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        if step is not None:
            step.retry_count = 0
            if step.status == StepStatus.FAILED:  # what stands is still to be undone
                step.status = StepStatus.PENDING
        _carry_on(saga)

    return _perform(Operation.RETRY_NOW, change, saga_id, seen_revision, actor, reason)


def query_channel(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """Wakes the saga: the engine asks about a call in doubt before anything else. Its retries stay as they are."""

    def change(saga: SagaInstance, _step: SagaStep | None) -> None:
        _carry_on(saga)

    return _perform(Operation.QUERY_CHANNEL, change, saga_id, seen_revision, actor, reason)


def skip_step(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str, result: Json) -> SagaChange:
    """The current step counts as done with `result`, which later steps will read. Going back it counts as undone,
    and what the step itself once answered stays."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        assert step is not None
        step.in_doubt, step.error_message = False, ""
        if saga.direction == Direction.FORWARD:
            step.status, step.result, step.executed_at = StepStatus.COMPLETED, dict(result), Now()
            saga.past_pivot = saga.past_pivot or _definition(saga).get_step(step.step_name).pivot
        else:
            step.status, step.compensate_data = StepStatus.COMPENSATED, dict(result)
            step.compensating, step.compensated_at = True, Now()
        _carry_on(saga)

    given = {"result": dict(result)}
    return _perform(Operation.SKIP_STEP, change, saga_id, seen_revision, actor, reason, given)


def compensate_saga(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """Turns the saga back. Merchants see the code below, never what staff wrote."""

    def change(saga: SagaInstance, step: SagaStep | None) -> None:
        saga.direction = Direction.COMPENSATING
        saga.error_code, saga.error_message = "compensated_by_staff", "rolled back by staff"
        if step is not None and step.in_doubt:
            # The next worker calls at once, so that the compensation is begun, with its own retries, here.
            step.status, step.compensating, step.retry_count = StepStatus.PENDING, True, 0
        _carry_on(saga)

    return _perform(Operation.COMPENSATE, change, saga_id, seen_revision, actor, reason)


def cancel_saga(*, saga_id: uuid.UUID, seen_revision: int, actor: str, reason: str) -> SagaChange:
    """What `request_cancel` does, by a person: a pivot in doubt is cleared up first."""

    def change(saga: SagaInstance, _step: SagaStep | None) -> None:
        saga.cancel_requested_at = Now()
        _carry_on(saga)

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
        given = _apply_resolution(saga_id, seen_revision, resolution)
        return _perform(Operation.MARK_RESOLVED, change, saga_id, seen_revision, actor, reason, given)


def _apply_resolution(saga_id: uuid.UUID, seen_revision: int, resolution: str) -> Json:
    """Locks business rows, so that it comes before the saga's row is taken: when that refuses, this is rolled back."""
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
    given: Json | None = None,
) -> SagaChange:
    if not actor.strip() or not reason.strip():
        raise NotPermitted(_("Give your name and a reason."))
    with transaction.atomic():
        saga = _take(saga_id, seen_revision)
        steps = list(saga.steps.all())
        # The picture is of what was seen: taking the saga changed its fence and revision only.
        seen = inspection.build_saga_view(saga, steps, database_now())
        if why := allowed(seen)[operation]:
            raise NotPermitted(why)
        step = next((step for step in steps if seen.current and step.step_order == seen.current.order), None)
        before = _facts(saga, step)
        change(saga, step)
        saga.current_step = sum(step.status == StepStatus.COMPLETED for step in steps)
        after = {**_facts(saga, step), **(given or {})}
        _write(saga, step)
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


def _take(saga_id: uuid.UUID, seen_revision: int) -> SagaInstance:
    """Locks the saga as it was seen, with the next fence. Of two people at the same moment one gets it."""
    row = SagaInstance.objects.filter(id=saga_id)
    taken = row.filter(revision=seen_revision).update(
        fence=F("fence") + 1, revision=F("revision") + 1, updated_at=Now()
    )
    saga = row.first()
    if saga is None:
        raise unknown_saga(saga_id)
    if not taken:
        raise StaleView(seen_revision=seen_revision, current_revision=saga.revision)
    return saga


def _carry_on(saga: SagaInstance) -> None:
    """Due now, for whichever worker comes first. Who acts has all the time of the saga before them again, and a step
    that waits its own: people come after the deadline as a rule, and it must not turn back what they just decided."""
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
    assert definition is not None, "what this release does not know is not carried on"
    return definition


def _write(saga: SagaInstance, step: SagaStep | None) -> None:
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
        raise NotPermitted(_("Another saga is at work on the same object: it must end first.")) from error


def _facts(saga: SagaInstance, step: SagaStep | None) -> dict[str, Any]:
    """What an operation may change, as plain values."""
    facts: dict[str, Any] = {
        "status": str(saga.status),
        "direction": str(saga.direction),
        "past_pivot": saga.past_pivot,
        "needs_attention": saga.needs_attention,
        "attention_reason": saga.attention_reason,
        "cancel_requested": saga.cancel_requested_at is not None,
    }
    if step is not None:
        facts["step"] = {
            "name": step.step_name,
            "status": str(step.status),
            "in_doubt": step.in_doubt,
            "compensating": step.compensating,
            "retry_count": step.retry_count,
        }
    return facts

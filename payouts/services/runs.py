"""Creates payout runs, and records who approves or rejects them. The saga (`payouts/flow.py`) does the rest."""

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common import crash
from common.clock import database_now
from common.dual_control import FindConflict
from common.errors import NotPermitted, OperationRefused, UnknownObject
from common.ids import public_number, uuid7
from merchants.models import Environment
from payouts.flow import DECISION_SIGNAL, start_payout_run
from payouts.hold import get_local_day, is_schedule_due
from payouts.models import BankAccount, BankAccountStatus, PayoutPlan, PayoutRun, PayoutRunStatus, Schedule
from sagas import engine
from sagas.outcomes import StepFailed
from sagas.signals import deliver_signal
from sagas.state import SagaState

# The number is also the name of the file, and what tells the bank one file from another (`MsgId`).
_RUN_PREFIXES: dict[str, str] = {Environment.LIVE: "RUN", Environment.TEST: "TEST-RUN"}


def require_funds_held() -> None:
    """Raises `OperationRefused` on a platform that may not hold merchants' money."""
    if not settings.HOLDS_MERCHANT_FUNDS:
        raise OperationRefused(
            _(
                "HOLDS_MERCHANT_FUNDS is 0: this platform holds no money for merchants. Their own channel accounts"
                " are paid by the channel."
            )
        )


def create_run(
    *,
    environment: str,
    currency: str,
    merchant_ids: Sequence[uuid.UUID] = (),
    actor: str,
    reason: str,
) -> uuid.UUID:
    """Freezes what is payable and asks for approval. Returns the id of the run.

    Raises `OperationRefused` when nothing is payable.
    """
    require_funds_held()
    run_id = uuid7()
    with recording(
        StaffActionType.PAYOUT_RUN_CREATE,
        ObjectType.PAYOUT_RUN,
        run_id,
        actor=actor,
        reason=reason,
        durable=True,
    ) as entry:
        saga = _start(run_id, environment, currency, actor, merchant_ids)
        entry.after = {"environment": environment, "currency": currency, **_describe_frozen(saga)}
        crash.reach("payout_run.create.before_commit")
    crash.reach("payout_run.create.after_commit")
    engine.advance_saga(saga)
    return run_id


def create_scheduled_runs() -> int:
    """Creates the runs that are due by the plans' schedules. Returns how many. Nobody has requested them: a person
    adopts each, and another one approves it."""
    if not settings.HOLDS_MERCHANT_FUNDS:
        return 0
    return sum(_create_scheduled_runs(environment) for environment in Environment.values)


def _create_scheduled_runs(environment: str) -> int:
    """One transaction: the runs exist if and only if the plans note the day."""
    sagas = []
    with transaction.atomic(durable=True):
        plans = PayoutPlan.objects.filter(environment=environment).exclude(schedule=Schedule.MANUAL)
        now = database_now()
        due = [
            plan
            for plan in plans.order_by("id").select_for_update()
            if is_schedule_due(plan, get_local_day(plan, now))
        ]
        merchant_ids = [plan.merchant_id for plan in due]
        currencies = BankAccount.objects.filter(
            merchant_id__in=merchant_ids, environment=environment, status=BankAccountStatus.ACTIVE
        ).values_list("currency", flat=True)
        for currency in sorted(set(currencies)):
            saga = _start_unless_empty(environment, currency, merchant_ids)
            if saga is not None:
                sagas.append(saga)
        for plan in due:
            plan.last_scheduled_on = get_local_day(plan, now)
            plan.save(update_fields=["last_scheduled_on"])
        crash.reach("payout_run.schedule.before_commit")
    for saga in sagas:
        engine.advance_saga(saga)
    return len(sagas)


def _start_unless_empty(
    environment: str, currency: str, merchant_ids: Sequence[uuid.UUID]
) -> SagaState | None:
    try:
        with transaction.atomic():
            return _start(uuid7(), environment, currency, "", merchant_ids)
    except OperationRefused:
        return None


def _start(
    run_id: uuid.UUID, environment: str, currency: str, actor: str, merchant_ids: Sequence[uuid.UUID]
) -> SagaState:
    try:
        return start_payout_run(
            run_id=run_id,
            run_no=public_number(_RUN_PREFIXES[environment], timezone.now().date()),
            environment=environment,
            currency=currency,
            requested_by=actor,
            merchant_ids=merchant_ids,
        )
    except StepFailed as refused:
        raise OperationRefused(refused.message) from refused


def _describe_frozen(saga: SagaState) -> dict[str, object]:
    return dict(saga.get_step("FreezeAmounts").result or {})


def adopt_run(*, run_id: uuid.UUID, actor: str, reason: str) -> None:
    """Makes `actor` the requester of a run of the schedule. Raises `NotPermitted`."""
    with recording(
        StaffActionType.PAYOUT_RUN_ADOPT, ObjectType.PAYOUT_RUN, run_id, actor=actor, reason=reason
    ):
        run = _lock_awaiting(run_id)
        if run.requested_by:
            raise NotPermitted(_("Another account has requested this run already."))
        PayoutRun.objects.filter(id=run.id).update(requested_by=actor, updated_at=Now())


def approve_run(*, run_id: uuid.UUID, actor: str, reason: str, find_conflict: FindConflict) -> None:
    """Lets the saga export the run. Raises `NotPermitted` unless `actor` is a second person."""
    with recording(
        StaffActionType.PAYOUT_RUN_APPROVE,
        ObjectType.PAYOUT_RUN,
        run_id,
        actor=actor,
        reason=reason,
        durable=True,
    ) as entry:
        run = _lock_awaiting(run_id)
        if not run.requested_by:
            raise NotPermitted(
                _("Nobody has requested this run yet: adopt it, and have another person approve it.")
            )
        if conflict := find_conflict(actor, run.requested_by):
            raise NotPermitted(conflict)
        _decide(run, PayoutRunStatus.APPROVED, actor)
        entry.after = {"requested_by": run.requested_by}
        _signal(run, actor, is_approved=True, reason=reason)
        crash.reach("payout_run.approve.before_commit")
    crash.reach("payout_run.approve.after_commit")
    engine.resume_saga(run_id)


def reject_run(*, run_id: uuid.UUID, actor: str, reason: str) -> None:
    """Releases the amounts. The requester may reject too. Raises `NotPermitted`."""
    with recording(
        StaffActionType.PAYOUT_RUN_REJECT,
        ObjectType.PAYOUT_RUN,
        run_id,
        actor=actor,
        reason=reason,
        durable=True,
    ):
        run = _lock_awaiting(run_id)
        _decide(run, PayoutRunStatus.CANCELED, actor)
        _signal(run, actor, is_approved=False, reason=reason)
    engine.resume_saga(run_id)


def _lock_awaiting(run_id: uuid.UUID) -> PayoutRun:
    run = PayoutRun.objects.select_for_update().filter(id=run_id).first()
    if run is None:
        raise UnknownObject(_("There is no such object."))
    if run.status != PayoutRunStatus.AWAITING_APPROVAL:
        raise NotPermitted(_("This run has been decided already."))
    return run


def _decide(run: PayoutRun, status: PayoutRunStatus, actor: str) -> None:
    PayoutRun.objects.filter(id=run.id).update(
        status=status, decided_by=actor, decided_at=Now(), updated_at=Now()
    )


def _signal(run: PayoutRun, actor: str, *, is_approved: bool, reason: str) -> None:
    """The run's row is locked, and before the saga's, as in the saga's steps."""
    deliver_signal(
        saga_id=run.id,
        name=DECISION_SIGNAL,
        signal_id=f"decision:{run.id}",
        payload={"is_approved": is_approved, "decided_by": actor, "reason": reason},
    )

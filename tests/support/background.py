"""Does Celery's work in this process, without a broker and without waiting: later work is made due now."""

from django.db.models.functions import Now

from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance, SagaStep, StepStatus
from tests.support.sagas import run_once

MAX_ROUNDS = 50


def finish() -> None:
    """Runs every saga until it ends or needs review."""
    assert run_rounds(MAX_ROUNDS), f"the sagas do not come to rest:\n{describe_due()}"


def describe_due() -> str:
    """Describes the sagas that may run, with their steps."""
    lines = []
    for saga in SagaInstance.objects.filter(due_at__isnull=False).order_by("due_at"):
        lines.append(f"{saga} {saga.direction} due {saga.due_at} fence {saga.fence} {saga.waiting_for}")
        for step in saga.steps.exclude(status=StepStatus.PENDING):
            retry = f"retry {step.retry_count} of {step.max_retry_count} at {step.next_retry_at}"
            lines.append(f"    {step} {step.status} in_doubt={step.in_doubt} {retry} {step.error_message}")
    return "\n".join(lines)


def run_rounds(count: int) -> bool:
    """Runs every saga at most `count` times. True when none is due any more; a saga that waits for an open page always
    is."""
    for _round in range(count):
        SagaStep.objects.filter(next_retry_at__isnull=False).update(next_retry_at=Now())
        if not run_once():
            return True
    return False


def expire_all_leases() -> None:
    """Makes all leases expire, as if each process that holds one had been killed."""
    SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES, lease_expires_at__isnull=False).update(
        lease_expires_at=Now()
    )
    IdempotencyKey.objects.filter(state=IdempotencyKey.State.IN_FLIGHT).update(lease_expires_at=Now())


def expire_payment(payment_no: str) -> None:
    Payment.objects.filter(payment_no=payment_no).update(expires_at=Now())


def make_checks_due() -> None:
    for rows in (Payment.objects, Refund.objects):
        rows.filter(next_check_at__isnull=False).update(next_check_at=Now())


def saga_of(business_id: str, definition: str) -> SagaInstance:
    return SagaInstance.objects.filter(business_id=business_id, definition=definition).latest("created_at")

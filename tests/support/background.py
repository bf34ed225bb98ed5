"""Plays Celery's part by hand, without a broker and without waiting: what would be due later is made due now."""

from django.db.models.functions import Now

from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance, SagaStep, StepStatus
from tests.support.sagas import run_once

MAX_ROUNDS = 50


def finish() -> None:
    """Lets every saga run to its end, or to where a person is needed."""
    assert run_rounds(MAX_ROUNDS), f"the sagas do not come to rest:\n{describe_due()}"


def describe_due() -> str:
    """The sagas that may run, each with its steps: what waits for what."""
    lines = []
    for saga in SagaInstance.objects.filter(due_at__isnull=False).order_by("due_at"):
        lines.append(f"{saga} {saga.direction} due {saga.due_at} fence {saga.fence} {saga.waiting_for}")
        for step in saga.steps.exclude(status=StepStatus.PENDING):
            retry = f"retry {step.retry_count} of {step.max_retry_count} at {step.next_retry_at}"
            lines.append(f"    {step} {step.status} in_doubt={step.in_doubt} {retry} {step.error_message}")
    return "\n".join(lines)


def run_rounds(count: int) -> bool:
    """Runs every saga up to so many times. True when all are at rest: one that waits for an open page never is."""
    for _round in range(count):
        SagaStep.objects.filter(next_retry_at__isnull=False).update(next_retry_at=Now())
        if not run_once():
            return True
    return False


def crash_of_every_worker() -> None:
    """As if each process that holds something had been killed a lease ago."""
    SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES, lease_expires_at__isnull=False).update(
        lease_expires_at=Now()
    )
    IdempotencyKey.objects.filter(state=IdempotencyKey.State.IN_FLIGHT).update(lease_expires_at=Now())


def time_to_pay_is_over(payment_no: str) -> None:
    Payment.objects.filter(payment_no=payment_no).update(expires_at=Now())


def next_checks_are_due() -> None:
    for rows in (Payment.objects, Refund.objects):
        rows.filter(next_check_at__isnull=False).update(next_check_at=Now())


def saga_of(business_id: str, definition: str) -> SagaInstance:
    return SagaInstance.objects.filter(business_id=business_id, definition=definition).latest("created_at")

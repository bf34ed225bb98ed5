"""payout.run: pays merchants of one currency with one file for the bank.

1. FreezeAmounts (LOCAL)      creates the payouts and reserves their amounts   compensation: release them
2. WaitForApproval (WAITING)  a second person approves or rejects the run
3. ExportFile (LOCAL, pivot)  stores the file, once: with it the bank can be made to pay
4. PostPayouts (LOCAL)        posts the reserved amounts

No step calls another system. The file exists if and only if the transaction of step 3 has committed, so a run that dies
anywhere is continued or released, and pays nobody twice.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from common.clock import database_now
from common.crypto import seal
from merchants.models import MerchantStatus
from payouts.bank_details import unseal_bank_details
from payouts.export_file import Debtor, PayoutOrder, write_export_file
from payouts.freezing import freeze_payouts
from payouts.models import (
    BankAccount,
    BankAccountStatus,
    Payout,
    PayoutFile,
    PayoutRun,
    PayoutRunStatus,
    PayoutStatus,
)
from payouts.state_machine import mark_canceled, mark_in_transit
from sagas.definitions import LOCAL, WAITING, Context, Definition, Resolution, Step
from sagas.outcomes import Failure, Json, StepFailed
from sagas.registry import register
from sagas.start import start_saga
from sagas.state import SagaState

DECISION_SIGNAL = "payout_run.decided"
APPROVAL_SECONDS = 3 * 24 * 3600
TIMED_OUT = Failure("approval_timed_out", "nobody approved the run in time")


def freeze_amounts(context: Context) -> Json:
    """Raises `StepFailed` when nothing is payable."""
    data = context.data
    run = PayoutRun.objects.create(
        id=context.saga_id,
        run_no=context.business_id,
        environment=data["environment"],
        currency=data["currency"],
        requested_by=data["requested_by"],
    )
    payouts = freeze_payouts(run=run, merchant_ids=[uuid.UUID(each) for each in data["merchant_ids"]])
    return {"count": len(payouts), "amount_minor": sum(payout.amount_minor for payout in payouts)}


def release_amounts(context: Context) -> None:
    failure = context.failure or TIMED_OUT
    _cancel_run(context.saga_id, failure)


def receive_decision(context: Context) -> Json:
    """The run itself has the decision already: it was recorded with the signal."""
    if not context.signal.get("is_approved"):
        raise StepFailed("rejected", str(context.signal.get("reason", "")))
    return {"approved_by": context.signal["decided_by"]}


def export_file(context: Context) -> Json:
    """Leaves out payouts whose merchant was suspended, or whose bank account was changed or is to be changed, since
    the amounts were frozen.

    Raises `StepFailed` when none is left, or the run has lost its approval."""
    run = PayoutRun.objects.select_for_update().get(id=context.saga_id)
    if run.status != PayoutRunStatus.APPROVED:
        raise StepFailed("not_approved", "the run is not approved")
    orders = []
    payouts = _lock_payouts(run, PayoutStatus.PENDING)
    changing = _find_changing_accounts(run)
    for payout in payouts:
        if obstacle := _find_obstacle(payout, changing):
            mark_canceled(payout=payout, code=obstacle, message="")
        else:
            details = unseal_bank_details(payout.bank_account.sealed_details)
            orders.append(PayoutOrder(payout.payout_no, payout.amount_minor, details))
    if not orders:
        raise StepFailed("no_payouts_left", "no payout of the run can be sent any more")
    file = write_export_file(
        run_no=run.run_no,
        environment=run.environment,
        currency=run.currency,
        orders=orders,
        debtor=Debtor(settings.PAYOUT_DEBTOR_NAME, settings.PAYOUT_DEBTOR_IBAN, settings.PAYOUT_DEBTOR_BIC),
        created_at=database_now(),
    )
    PayoutFile.objects.create(
        run=run,
        sha256=file.sha256,
        name=file.name,
        media_type=file.media_type,
        sealed_content=seal(file.content.decode()),
    )
    return {"sha256": file.sha256, "count": len(orders)}


def post_payouts(context: Context) -> None:
    """Refuses when the file is missing: staff can skip a step, and nobody is paid without a file."""
    run = PayoutRun.objects.select_for_update().get(id=context.saga_id)
    if not PayoutFile.objects.filter(run=run).exists():
        raise StepFailed("no_file", "the run has no file")
    for payout in _lock_payouts(run, PayoutStatus.PENDING):
        mark_in_transit(payout=payout)
    PayoutRun.objects.filter(id=run.id, status=PayoutRunStatus.APPROVED).update(
        status=PayoutRunStatus.SENT, sent_at=Now(), updated_at=Now()
    )


def _cancel_run(run_id: uuid.UUID, failure: Failure) -> None:
    run = PayoutRun.objects.select_for_update().get(id=run_id)
    for payout in _lock_payouts(run, PayoutStatus.PENDING):
        mark_canceled(payout=payout, code=failure.code, message=failure.message)
    PayoutRun.objects.filter(id=run.id).update(
        status=PayoutRunStatus.CANCELED,
        failure_code=failure.code,
        failure_message=failure.message,
        updated_at=Now(),
    )


def _lock_payouts(run: PayoutRun, status: PayoutStatus) -> list[Payout]:
    """Locks their bank accounts too, so that requests and approvals of other accounts wait. In the order of the
    accounts: two runs may have the same ones."""
    payouts = Payout.objects.select_related("bank_account", "merchant").filter(run=run, status=status)
    locked = payouts.order_by("bank_account_id").select_for_update(of=("self", "bank_account"), no_key=True)
    return sorted(locked, key=lambda payout: payout.id)


def _find_changing_accounts(run: PayoutRun) -> set[uuid.UUID]:
    """The merchants that have a bank account in the run's currency that awaits approval. Read after the lock."""
    awaiting = BankAccount.objects.filter(
        environment=run.environment, currency=run.currency, status=BankAccountStatus.AWAITING_APPROVAL
    )
    return set(awaiting.values_list("merchant_id", flat=True))


def _find_obstacle(payout: Payout, changing: set[uuid.UUID]) -> str:
    """Returns the reason why the payout must not be sent any more; empty when it may."""
    if payout.bank_account.status != BankAccountStatus.ACTIVE:
        return "bank_account_changed"
    if payout.merchant_id in changing:
        return "bank_account_change_requested"
    if payout.merchant.status != MerchantStatus.ACTIVE:
        return "merchant_suspended"
    return ""


def _keep(_context: Context) -> None:
    """Nothing is decided: the amounts stay reserved."""


def _release(context: Context) -> None:
    if PayoutFile.objects.filter(run_id=context.saga_id).exists():
        raise StepFailed("exported", str(gettext_lazy("The file of this run exists: the bank may pay it.")))
    _cancel_run(context.saga_id, Failure("resolved_by_staff", "closed by staff"))


PAYOUT_RUN = register(
    Definition(
        name="payout.run",
        version=1,
        business_type="payout_run",
        deadline_seconds=APPROVAL_SECONDS + 24 * 3600,
        steps=(
            Step("FreezeAmounts", freeze_amounts, kind=LOCAL, compensate=release_amounts),
            Step(
                "WaitForApproval",
                receive_decision,
                kind=WAITING,
                signal=DECISION_SIGNAL,
                timeout_seconds=APPROVAL_SECONDS,
            ),
            Step("ExportFile", export_file, kind=LOCAL, pivot=True),
            Step("PostPayouts", post_payouts, kind=LOCAL),
        ),
        resolutions=(
            Resolution("keep", gettext_lazy("Not known: the amounts stay reserved"), _keep),
            Resolution("released", gettext_lazy("Not sent: the amounts are payable again"), _release),
        ),
    )
)


def start_payout_run(
    *,
    run_id: uuid.UUID,
    run_no: str,
    environment: str,
    currency: str,
    requested_by: str,
    merchant_ids: Sequence[uuid.UUID],
) -> SagaState:
    """Starts payout.run in the caller's transaction. Raises `StepFailed` when nothing is payable."""
    data: Mapping[str, Any] = {
        "environment": environment,
        "currency": currency,
        "requested_by": requested_by,
        "merchant_ids": [str(each) for each in merchant_ids],
    }
    return start_saga(
        PAYOUT_RUN,
        saga_id=run_id,
        business_id=run_no,
        data=data,
        task_queue=environment,
        fairness_key="payouts",
    )

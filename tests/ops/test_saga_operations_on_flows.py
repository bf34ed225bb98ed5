"""Operations on real payments and refunds: afterwards the platform and the bank agree."""

from datetime import timedelta
from typing import Any

import pytest

from backoffice.services.audited_saga_operations import operate
from backoffice.services.saga_inspection import find_saga
from channels.simulator.models import SimulatedRefund
from monitoring.services import run_checks
from sagas.availability import Operation, get_refusals
from sagas.models import SagaInstance
from tests.support import bank, shop
from tests.support.background import finish, saga_of
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

# A step whose answer was lost waits this long, so that the test can operate the saga before the next attempt.
RETRY_SECONDS = 3600


@pytest.fixture(autouse=True)
def _patient(settings, _in_a_hurry):
    settings.SAGA_RETRY_BASE_SECONDS = settings.SAGA_RETRY_CAP_SECONDS = RETRY_SECONDS


def act(operation: Operation, saga: SagaInstance, result: str = "") -> None:
    operate(
        operation=operation,
        saga_id=saga.id,
        seen_revision=saga.revision,
        actor="ana",
        reason="the customer is on the phone",
        result=result,
    )
    finish()


def in_doubt(client: SignedClient, simulate: str) -> tuple[dict[str, Any], SagaInstance]:
    payment = shop.data(shop.create(client, simulate), 202)
    return payment, saga_of(payment["payment_no"], "payment.create")


def checks_pass() -> bool:
    failed = [result for result in run_checks(grace=timedelta(0)).results if not result.passed]
    assert not failed, failed
    return True


@pytest.mark.parametrize("operation", [Operation.RETRY_NOW, Operation.QUERY_CHANNEL])
def test_a_charge_whose_answer_was_lost_is_found(client, operation):
    payment, saga = in_doubt(client, "timeout_after_charge")
    act(operation, saga)
    assert shop.get_payment(client, payment)["status"] == "succeeded"
    assert len(bank.read_ledger(payment["payment_no"])) == 1
    assert checks_pass()


@pytest.mark.parametrize(
    ("operation", "status"), [(Operation.COMPENSATE, "failed"), (Operation.CANCEL, "cancelled")]
)
def test_compensation_cancels_at_the_bank_first(client, operation, status):
    payment, saga = in_doubt(client, "no_webhook,timeout_after")
    act(operation, saga)
    now = shop.get_payment(client, payment)
    assert now["status"] == status
    assert "on the phone" not in str(now), "merchants must not see the reason"
    assert bank.read_ledger(payment["payment_no"]) == []
    assert checks_pass()


def test_a_payment_found_paid_during_compensation_succeeds(client):
    payment, saga = in_doubt(client, "timeout_after_charge")
    act(Operation.COMPENSATE, saga)
    assert shop.get_payment(client, payment)["status"] == "succeeded"
    assert checks_pass()


def test_a_refund_that_the_bank_confirmed_on_the_phone_is_settled_by_skipping_the_call(client):
    payment = shop.paid(client, "refund:timeout_after,query_refund:timeout_before*always")
    bank.deliver_webhooks(payment["payment_no"])
    refund = shop.data(shop.refund(client, payment, 3_000), 202)
    saga = saga_of(refund["refund_no"], "refund.create")
    assert get_refusals(find_saga(name=refund["refund_no"]))[Operation.COMPENSATE], "the pivot is in doubt"
    at_bank = SimulatedRefund.objects.get(reference=refund["refund_no"])
    act(
        Operation.SKIP_STEP,
        saga,
        f'{{"state": "succeeded", "channel_refund_no": "{at_bank.channel_refund_no}"}}',
    )
    assert shop.get_refund(client, refund)["status"] == "succeeded"
    assert shop.get_payment(client, payment)["refunded_amount"] == 3_000
    assert checks_pass()

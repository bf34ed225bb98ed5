"""Payments with `simulator_approval` as merchants see them, for each outcome of the completing call."""

import pytest
from django.db.models.functions import Now

from channels.simulator.models import SimulatedPayment
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, cancel, create, data, get_payment, opened, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def approve(client: SignedClient, simulate: str = "") -> Body:
    payment = opened(client, simulate, payment_method="simulator_approval")
    bank.pay(payment)
    return payment


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "complete:timeout_before",
        "complete:timeout_after",
        "complete:error_5xx_kept",
        "complete:unreachable",
    ],
)
def test_an_approved_payment_is_charged_once(client: SignedClient, fault: str) -> None:
    payment = approve(client, fault)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    background.finish()
    bank.deliver_webhooks(payment["payment_no"])
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_the_bank_declines_the_completion(client: SignedClient) -> None:
    payment = approve(client, "pay_declined,no_webhook")
    data(sync(client, payment))
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("failed", "card_declined")


@pytest.mark.parametrize("by", ["webhook", "query"])
def test_the_approval_lapses_before_we_complete_it(client: SignedClient, by: str) -> None:
    payment = approve(client)
    bank.deliver_webhooks(payment["payment_no"])
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(complete_before=Now())
    if by == "webhook":
        data(sync(client, payment))
    background.finish()
    now = get_payment(client, payment)
    assert now["captured_amount"] == 0
    assert now["status"] in ("failed", "cancelled")
    assert bank.read_ledger(payment["payment_no"]) == []


def test_a_cancelled_payment_is_not_completed(client: SignedClient) -> None:
    """The bank reports the approval for hours, as long as it has not lapsed."""
    payment = approve(client)
    assert data(cancel(client, payment))["status"] == "cancelled"
    bank.deliver_webhooks(payment["payment_no"])
    data(sync(client, payment))
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert bank.read_ledger(payment["payment_no"]) == []


def test_the_creation_itself_is_approved(client: SignedClient) -> None:
    payment = data(create(client, "auto_pay", payment_method="simulator_approval"))
    assert payment["status"] == "processing"
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"

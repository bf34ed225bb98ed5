"""A query that was answered ends the doubt about a call whose answer was lost."""

import pytest
from django.db.models.functions import Now

from gateway.channels.simulator.models import Payment as BankPayment
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import (
    authorized,
    cancel,
    capture,
    data,
    error,
    get_payment,
    new_no,
    opened,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FAULTS = ["timeout_after", "timeout_before", "error_5xx", "reset_after", "error_5xx_kept"]


def bank_decides(payment: dict) -> None:
    BankPayment.objects.filter(reference=payment["payment_no"]).update(settles_at=Now())
    bank.bank_settles()
    bank.deliver_webhooks(payment["payment_no"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_cancel_while_the_bank_works_on_the_payment(client: SignedClient, fault: str) -> None:
    """The cancel is refused for good, and the payment is neither parked nor held up."""
    payment = opened(client, f"processing:600,cancel:{fault}", capture_method="manual")
    bank.pay(payment)
    key = new_no("key")
    data(cancel(client, payment, key=key), 202)
    background.finish()
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    assert (saga.status, saga.needs_attention) == ("compensated", False)
    error(cancel(client, payment, key=key), 409, "payment_not_cancellable")
    bank_decides(payment)
    assert get_payment(client, payment)["status"] == "authorized"
    assert data(capture(client, payment))["status"] == "succeeded"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_capture_is_made_once(client: SignedClient, fault: str) -> None:
    payment = authorized(client, f"no_webhook,capture:{fault}")
    data(capture(client, payment, amount=4_000), 202)
    background.finish()
    assert get_payment(client, payment)["captured_amount"] == 4_000
    assert bank.charges(payment["payment_no"]) == [("authorize", 10_000), ("capture", 4_000), ("void", 6_000)]

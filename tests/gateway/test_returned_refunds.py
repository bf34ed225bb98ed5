"""A refund that the customer's bank returns before the saga learns that it was made."""

import pytest

from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import create, data, get_payment, get_refund, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def test_a_refund_that_came_back_while_its_answer_was_lost(client: SignedClient) -> None:
    """The money is with the merchant, so the refund has failed, and no integrity check finds a difference."""
    script = "auto_pay,no_webhook,refund:timeout_after,query_refund:timeout_before*always"
    payment = data(create(client, script))
    requested = data(refund(client, payment, 4_000), 202)
    bank.return_refund(requested["refund_no"])
    bank.forget_script(payment["payment_no"])
    background.finish()
    assert get_refund(client, requested)["failure_code"] == "refund_returned"
    now = get_payment(client, payment)
    assert (now["refunded_amount"], now["refundable_amount"]) == (0, 10_000)
    assert bank.read_ledger(payment["payment_no"])[-2:] == [("refund", 4_000), ("refund_return", 4_000)]

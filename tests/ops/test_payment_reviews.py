"""Staff resolve payments that need review from the terminal. Each staff action is in the audit log."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from audit.models import StaffAction
from gateway.models import Payment, PaymentAttempt, Refund
from monitoring.services import run_checks
from tests.gateway.test_late_payments import banks as banks  # noqa: PLC0414
from tests.gateway.test_late_payments import fail_over, pay_earlier_attempt
from tests.support import background, bank
from tests.support.auditing import _audited, findings  # noqa: F401
from tests.support.channels import AdditionalChannel
from tests.support.shop import Body, cancel, data, get_payment, opened, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(autouse=True)
def _late_payments_need_review(settings) -> None:
    settings.LATE_MONEY_POLICY = "park"


def run_command(*arguments: str) -> str:
    output = StringIO()
    with translation.override("en"):
        call_command("payment_reviews", *arguments, stdout=output)
    return output.getvalue()


def act(verb: str, payment: Body, **changes: str) -> str:
    options = {"actor": "ana", "reason": "the customer rang", **changes}
    return run_command(verb, payment["payment_no"], *(f"--{name}={value}" for name, value in options.items()))


@pytest.fixture
def late(client: SignedClient) -> Body:
    payment = opened(client)
    data(cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    return payment


def test_payments_in_review_are_listed(late: Body) -> None:
    assert late["payment_no"] in run_command("list")
    assert "Paid after the payment was cancelled" in run_command("list")


def test_a_late_payment_is_refunded_once_and_audited(client: SignedClient, late: Body) -> None:
    assert "needs_attention: True → False" in act("refund", late)
    with pytest.raises(CommandError, match="does not need review"):
        act("refund", late)
    background.finish()
    assert bank.read_ledger(late["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    assert get_payment(client, late)["refunded_amount"] == 10_000
    assert late["payment_no"] not in run_command("list")
    audit = StaffAction.objects.get()
    assert (audit.actor, audit.action, audit.object_id, audit.reason) == (
        "terminal:ana",
        "payment.give_back",
        late["payment_no"],
        "the customer rang",
    )
    assert (audit.before["needs_attention"], audit.after["needs_attention"]) == (True, False)


def test_a_duplicate_payment_is_refunded(client: SignedClient, banks: list[AdditionalChannel]) -> None:
    payment = fail_over(client, "auto_pay")
    pay_earlier_attempt(payment)
    act("refund", payment)
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    assert PaymentAttempt.objects.get(number=1).duplicate_refunded_minor == 10_000
    assert get_payment(client, payment)["refunded_amount"] == 0


def test_a_review_is_resolved(late: Body) -> None:
    act("resolve", late)
    assert not Payment.objects.get().needs_attention
    with pytest.raises(CommandError, match="does not need review"):
        act("resolve", late)
    assert findings() == [], "the audit log keeps the reason; no payment data must change"


def test_a_payment_in_review_without_a_late_payment_is_not_refunded(client: SignedClient) -> None:
    payment = opened(client)
    Payment.objects.update(needs_attention=True, attention_reason="the amounts differ")
    with pytest.raises(CommandError, match="no late payment"):
        act("refund", payment)
    act("resolve", payment)


def test_an_open_payment_is_polled_again_after_its_review_is_resolved(client: SignedClient) -> None:
    payment = opened(client)
    Payment.objects.update(needs_attention=True, attention_reason="?", next_check_at=None, check_count=40)
    act("resolve", payment)
    row = Payment.objects.get()
    assert (row.next_check_at is not None, row.check_count) == (True, 0)


def test_an_open_refund_is_polled_again_after_its_review_is_resolved(client: SignedClient) -> None:
    """The poller had given the refund up, and its amount stays reserved."""
    payment = paid(client, "refund_pending:9000")
    data(refund(client, payment, 1_000))
    Refund.objects.update(next_check_at=None)
    Payment.objects.update(needs_attention=True, attention_reason="the channel reports no outcome")
    act("resolve", payment)
    (watched,) = run_checks(only=["open_payments_watched"]).results
    assert watched.passed, watched.sample
    assert Refund.objects.get().next_check_at is not None


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ana", " ")])
def test_a_name_and_a_reason_are_required(late: Body, actor: str, reason: str) -> None:
    with pytest.raises(CommandError, match="Give your name"):
        act("refund", late, actor=actor, reason=reason)
    assert not StaffAction.objects.exists()
    act("refund", late)
    background.finish()


def test_an_unknown_payment_is_an_error(transactional_db: None) -> None:
    with pytest.raises(CommandError, match="no payment PAY-x"):
        act("resolve", {"payment_no": "PAY-x"})

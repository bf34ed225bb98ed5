"""Refunding a large late payment, or resolving its review, needs two people. A user of the terminal never counts as
one of them."""

from collections.abc import Callable
from html import unescape
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.approvals import decisions, late_payments
from backoffice.approvals.models import Approval
from backoffice.services.late_payments import PaymentReviewOperation
from channels.base import DisputeState
from common.errors import NotPermitted, OperationRefused
from gateway import state_machine
from gateway.models import Dispute, Payment, Refund, ReviewCode
from gateway.services.charge_suspense import charge_payment_suspense
from gateway.services.payment_reviews import resolve_open_reviews
from tests.ledger.test_postings import dispute
from tests.support import background, bank, shop
from tests.support.reviews import AMOUNTS_DIFFER
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FINANCE = ("view_*", "staff.refund_payment", "staff.resolve_saga", "staff.approve_operation")


@pytest.fixture
def ana(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ana", *FINANCE)


@pytest.fixture
def ben(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ben", *FINANCE)


@pytest.fixture
def late(client: SignedClient, settings) -> Payment:  # type: ignore[no-untyped-def]
    """A late payment of 20,000.00 USD: the payment had been cancelled before."""
    settings.LATE_MONEY_POLICY = "park"
    payment = shop.opened(client, amount=2_000_000)
    shop.data(shop.cancel(client, payment))
    bank.pay_closed_payment(payment)
    bank.deliver_webhooks(payment["payment_no"])
    return Payment.objects.get(payment_no=payment["payment_no"])


def request(browser: Client, payment: Payment, operation: str) -> int:
    url = reverse(f"admin:gateway_payment_{operation}", args=[payment.pk])
    return browser.post(url, {"reason": "they rang"}).status_code


def decide(browser: Client, payment: Payment, word: str = "approve") -> int:
    url = reverse("admin:gateway_payment_decide", args=[payment.pk])
    approval = Approval.objects.latest("requested_at")
    return browser.post(url, {"approval": str(approval.pk), word: "1"}).status_code


def page(browser: Client, payment: Payment) -> str:
    answer = browser.get(reverse("admin:gateway_payment_change", args=[payment.pk]))
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def terminal(verb: str, payment: Payment, actor: str) -> str:
    recorded = StringIO()
    with translation.override("en"):
        call_command(
            "payment_reviews",
            verb,
            payment.payment_no,
            "--reason=they rang",
            f"--actor={actor}",
            stdout=recorded,
        )
    return recorded.getvalue()


def refunded(payment: Payment) -> list[int]:
    background.finish()
    return [abs(amount) for kind, amount in bank.read_ledger(payment.payment_no) if kind == "refund"]


@pytest.mark.parametrize(
    ("operation", "effect", "amounts"),
    [
        ("give_back", "20,000.00 USD is refunded.", [2_000_000]),
        ("resolve", "Resolves without moving money: Paid after the payment was cancelled", []),
    ],
)
def test_one_requests_and_another_approves(
    ana: Client, ben: Client, late: Payment, operation: str, effect: str, amounts: list[int]
) -> None:
    assert request(ana, late, operation) == 302
    assert request(ben, late, operation) == 409, "an approval is already pending"
    late.refresh_from_db()
    assert late.needs_attention
    assert not Refund.objects.exists()
    decide(ana, late)
    assert Approval.objects.get().state == "pending", "nobody approves their own request"
    assert effect in page(ben, late)
    assert [decide(ben, late), decide(ben, late)] == [302, 302]
    late.refresh_from_db()
    assert not late.needs_attention
    assert refunded(late) == amounts
    recorded = list(StaffAction.objects.order_by("id").values_list("action", "actor", "object_id"))
    assert recorded == [
        ("approval.request", "ana", late.payment_no),
        (f"payment.{operation}", "ana", late.payment_no),
        ("approval.approve", "ben", late.payment_no),
    ]
    assert StaffAction.objects.get(action=f"payment.{operation}").after["approved_by"] == "ben"


@pytest.mark.parametrize("verb", ["refund", "resolve"])
def test_a_request_under_a_colleagues_name_cannot_be_approved_by_its_author(
    ana: Client, ben: Client, late: Payment, verb: str
) -> None:
    """Ana uses the terminal under Ben's name and then tries to approve the request as herself."""
    assert "another approve it" in terminal(verb, late, "ben")
    approval = Approval.objects.get()
    assert approval.requested_by == "terminal:ben"
    decide(ana, late)
    with pytest.raises(NotPermitted, match="proves no identity"):
        late_payments.approve(approval_id=approval.pk, actor="ana")
    with pytest.raises(IntegrityError, match="approval_by_a_second_person"), transaction.atomic():
        Approval.objects.update(state="approved", decided_by="ana")
    assert "Adopt request" in page(ana, late)
    assert decide(ana, late, "adopt") == 302
    assert Approval.objects.get().requested_by == "ana"
    decide(ana, late)
    decide(ben, late, "adopt")
    assert (Approval.objects.get().state, Approval.objects.get().requested_by) == ("pending", "ana")
    assert decide(ben, late) == 302
    assert refunded(late) == ([2_000_000] if verb == "refund" else [])
    recorded = list(StaffAction.objects.order_by("id").values_list("action", "actor")[:2])
    assert recorded == [("approval.request", "terminal:ben"), ("approval.request", "ana")]


def test_a_terminal_neither_adopts_nor_approves(ana: Client, late: Payment) -> None:
    terminal("refund", late, "ben")
    approval = Approval.objects.get()
    with pytest.raises(NotPermitted):
        decisions.adopt(approval_id=approval.pk, actor="terminal:carl")
    decisions.adopt(approval_id=approval.pk, actor="ana")
    with pytest.raises(NotPermitted):
        late_payments.approve(approval_id=approval.pk, actor="terminal:ben")
    with pytest.raises(CommandError, match="An approval is already pending"):
        terminal("resolve", late, "ben")
    assert not Refund.objects.exists()


def test_adopting_a_request_needs_the_permission_to_approve(
    late: Payment, sign_in: Callable[..., Client]
) -> None:
    terminal("refund", late, "ben")
    assert decide(sign_in("vera", "view_*"), late, "adopt") == 403
    assert Approval.objects.get().requested_by == "terminal:ben"


def test_a_review_that_came_later_is_not_resolved_with_the_others(
    ana: Client, ben: Client, late: Payment
) -> None:
    request(ana, late, "resolve")
    with transaction.atomic():
        state_machine.open_review(payment=late, code=ReviewCode.MISMATCH, reason=AMOUNTS_DIFFER)
    decide(ben, late)
    late.refresh_from_db()
    assert (late.needs_attention, late.attention_reason) == (True, str(AMOUNTS_DIFFER))


def test_another_amount_than_the_requested_one_is_not_refunded(
    ana: Client, ben: Client, late: Payment
) -> None:
    request(ana, late, "give_back")
    Approval.objects.update(amount_minor=1_999_999)
    decide(ben, late)
    assert Approval.objects.get().state == "stale"
    assert refunded(late) == []


def test_only_the_suspense_at_the_request_is_charged(client: SignedClient, ana: Client, ben: Client) -> None:
    body = shop.paid(client, amount=2_000_000)
    shop.data(shop.refund(client, body, 2_000_000))
    dispute(body, DisputeState.NEEDS_RESPONSE, 1_500_000)
    payment = Payment.objects.get()
    assert request(ana, payment, "charge_suspense") == 302
    approval = Approval.objects.get()
    assert (approval.amount_minor, approval.currency) == (1_500_000, "USD")
    dispute(body, DisputeState.NEEDS_RESPONSE, 100_000, number="dp_2")
    with pytest.raises(NotPermitted, match="has changed"), translation.override("en"):
        late_payments.approve(approval_id=approval.id, actor="ben")
    assert set(Dispute.objects.values_list("is_excess_charged", flat=True)) == {False}


def test_a_second_person_approves_much_suspense_of_a_small_payment(client: SignedClient, ana: Client) -> None:
    """The limit of 10,000.00 USD counts the amount in suspense, not the payment's 100.00 USD."""
    body = shop.paid(client)
    dispute(body, DisputeState.NEEDS_RESPONSE, 1_500_000)
    payment = Payment.objects.get()
    assert request(ana, payment, "charge_suspense") == 302
    assert Approval.objects.get().amount_minor == 1_490_000
    assert not Dispute.objects.get().is_excess_charged


@pytest.mark.parametrize(("amount_minor", "approvals"), [(1_000_000, 0), (1_000_001, 1)])
def test_each_currency_in_suspense_has_its_own_limit(
    client: SignedClient, amount_minor: int, approvals: int
) -> None:
    body = shop.paid(client)
    dispute(body, DisputeState.NEEDS_RESPONSE, amount_minor, currency="EUR")
    late_payments.operate_or_request_approval(
        operation=PaymentReviewOperation.CHARGE_SUSPENSE,
        payment_no=body["payment_no"],
        actor="ana",
        reason="agreed",
    )
    assert Approval.objects.filter(currency="EUR").count() == approvals


def test_a_review_of_money_in_suspense_cannot_be_resolved(client: SignedClient) -> None:
    body = shop.paid(client)
    shop.data(shop.refund(client, body, 10_000))
    dispute(body, DisputeState.NEEDS_RESPONSE)
    for names in ([], ["dispute_excess"]):
        with (
            pytest.raises(OperationRefused, match="in suspense"),
            translation.override("en"),
            transaction.atomic(),
        ):
            resolve_open_reviews(payment_no=body["payment_no"], actor="ana", reason="x", reviews=names)
    with transaction.atomic():
        resolve_open_reviews(payment_no=body["payment_no"], actor="ana", reason="x", reviews=["dispute"])
        charge_payment_suspense(payment_no=body["payment_no"], actor="ana", reason="agreed")
    assert not Payment.objects.get().needs_attention

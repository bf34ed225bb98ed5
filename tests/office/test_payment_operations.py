"""Staff sync, capture, cancel and refund a payment, or resolve its review, on its page. Each operation is done once,
needs a reason, and depends on the role."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from channels.base import Reported
from gateway import state_machine
from gateway.models import Payment, Refund, ReviewCode
from tests.support import bank, shop
from tests.support.background import finish
from tests.support.channels import intercept_simulator
from tests.support.reviews import AMOUNTS_DIFFER
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

EVERYTHING = (
    "view_*",
    "staff.refund_payment",
    "staff.sync_payment",
    "staff.capture_payment",
    "staff.cancel_payment",
    "staff.resolve_saga",
)


@pytest.fixture
def ana(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ana", *EVERYTHING)


def act(browser: Client, payment: Payment, operation: str, **given: str) -> int:
    url = reverse(f"admin:gateway_payment_{operation}", args=[payment.pk])
    return browser.post(url, {"reason": "they rang", **given}).status_code


def row(created: dict[str, Any]) -> Payment:
    return Payment.objects.get(payment_no=created["payment_no"])


def done(payment: Payment) -> tuple[str, str, str, str]:
    action = StaffAction.objects.get()
    return action.actor, action.action, action.object_id, action.reason


def test_sync_queries_the_channel(ana: Client, client: SignedClient) -> None:
    created = shop.opened(client, "no_webhook")
    payment = row(created)
    bank.pay(created)
    assert act(ana, payment, "sync") == 302
    payment.refresh_from_db()
    assert payment.status == "succeeded"
    assert done(payment) == ("ana", "payment.sync", payment.payment_no, "they rang")


def test_sync_queries_an_open_refund_that_the_channel_does_not_list(
    ana: Client, client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WeChat Pay and Alipay have no list of a payment's refunds."""
    created = shop.paid(client, "refund_pending:0")
    refunded = shop.data(shop.refund(client, created, 4_000))
    assert refunded["status"] == "processing"
    simulator = intercept_simulator(monkeypatch)
    simulator.after = lambda operation, result: Reported(()) if operation == "find_refunds" else result
    assert act(ana, row(created), "sync") == 302
    assert Refund.objects.get(refund_no=refunded["refund_no"]).status == "succeeded"


def test_an_authorized_amount_is_captured_once(ana: Client, client: SignedClient) -> None:
    payment = row(shop.authorized(client, amount=10_000))
    for too_much in ("60.001", "100.01", "0", ""):
        assert act(ana, payment, "capture", amount=too_much) == 422, "the form is shown again"
    assert not StaffAction.objects.exists()
    assert act(ana, payment, "capture", amount="20") == 302, "not the last capture"
    payment.refresh_from_db()
    assert (payment.status, payment.captured_minor) == ("authorized", 2_000)
    assert act(ana, payment, "capture", amount="81", is_final="on") == 422, "more than is held"
    assert act(ana, payment, "capture", amount="40", is_final="on") == 302
    assert act(ana, payment, "capture", amount="40", is_final="on") == 409
    payment.refresh_from_db()
    assert (payment.status, payment.captured_minor) == ("succeeded", 6_000)
    operations = StaffAction.objects.order_by("id").values_list("actor", "action", "object_id")
    assert [*operations] == [("ana", "payment.capture", payment.payment_no)] * 2


def test_an_open_payment_is_cancelled_and_the_merchant_does_not_see_the_reason(
    ana: Client, client: SignedClient
) -> None:
    payment = row(shop.opened(client))
    assert act(ana, payment, "cancel") == 302
    assert act(ana, payment, "cancel") == 409
    payment.refresh_from_db()
    assert (payment.status, payment.failure_message) == ("cancelled", "cancelled by staff")
    assert done(payment) == ("ana", "payment.cancel", payment.payment_no, "they rang")


def test_a_payment_that_was_paid_meanwhile_is_not_cancelled(ana: Client, client: SignedClient) -> None:
    created = shop.opened(client, "no_webhook")
    payment = row(created)
    bank.pay(created)
    assert act(ana, payment, "cancel") == 302
    payment.refresh_from_db()
    assert payment.status == "succeeded"


@pytest.mark.parametrize("operation", ["give_back", "resolve"])
def test_a_late_payment_is_refunded_or_its_review_resolved(
    ana: Client, client: SignedClient, operation: str, settings
) -> None:
    settings.LATE_MONEY_POLICY = "park"
    created = shop.opened(client)
    payment = row(created)
    act(ana, payment, "cancel")
    bank.pay_closed_payment(created)
    bank.deliver_webhooks(created["payment_no"])
    payment.refresh_from_db()
    assert payment.needs_attention
    assert act(ana, payment, operation) == 302
    assert act(ana, payment, operation) == 409, "the review is resolved"
    finish()
    payment.refresh_from_db()
    assert not payment.needs_attention
    assert Refund.objects.count() == (1 if operation == "give_back" else 0)
    assert payment.refunded_minor == (payment.captured_minor if operation == "give_back" else 0)
    actions = list(StaffAction.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["payment.cancel", f"payment.{operation}"]


def test_a_review_without_late_money_offers_no_refund_of_it(ana: Client, client: SignedClient) -> None:
    payment = row(shop.paid(client))
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, reason=AMOUNTS_DIFFER)
    page = reverse("admin:gateway_payment_change", args=[payment.pk])
    assert "has no late payment to refund" in ana.get(page).content.decode()
    assert act(ana, payment, "give_back") == 409
    assert not Refund.objects.exists()
    assert act(ana, payment, "resolve") == 302


def test_the_page_offers_allowed_actions_and_explains_the_others(
    ana: Client, client: SignedClient, sign_in
) -> None:
    payment = row(shop.opened(client))
    page = reverse("admin:gateway_payment_change", args=[payment.pk])
    html = unescape(ana.get(page).content.decode())
    for operation in ("sync", "cancel"):
        assert f"/{payment.pk}/{operation}/" in html
    for operation in ("capture", "give_back", "resolve"):
        assert f"/{payment.pk}/{operation}/" not in html
    assert "Only an authorized payment can be captured." in html
    assert "This payment has no open review." in html
    assert f"/{payment.pk}/sync/" not in sign_in("vera", "view_*").get(page).content.decode()

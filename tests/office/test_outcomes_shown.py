"""The message after a staff action, and the banner of a payment's page, match the outcome."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from common.ids import uuid7
from gateway.models import Dispute, DisputeStatus, Payment, Refund
from sagas.models import SagaInstance
from tests.support import bank, shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

PERMISSIONS = ("view_*", "staff.refund_payment", "staff.capture_payment", "staff.cancel_payment")


@pytest.fixture
def ana(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ana", *PERMISSIONS)


def read_banner(browser: Client, payment: Payment, operation: str, **given: str) -> tuple[str, str]:
    """Posts the form of the action. Returns the tone and the text of the banner."""
    prefixed = (
        {f"{operation}-{name}": value for name, value in given.items()} if operation == "refund" else given
    )
    answer = browser.post(reverse(f"admin:gateway_payment_{operation}", args=[payment.pk]), prefixed)
    assert answer.status_code == 302
    (message,) = get_messages(answer.wsgi_request)
    return message.level_tag, str(message)


def read_page(browser: Client, payment: Payment) -> str:
    page = reverse("admin:gateway_payment_change", args=[payment.pk])
    return unescape(browser.get(page).content.decode())


def make_payment(
    client: SignedClient, simulate: str, make: Callable[..., dict[str, str]] = shop.paid
) -> Payment:
    return Payment.objects.get(payment_no=make(client, simulate)["payment_no"])


@pytest.mark.parametrize(
    ("simulate", "banner", "chip"),
    [
        ("", ("success", "20.00 USD refunded."), "Partially refunded"),
        (
            "refund_declined",
            ("error", "The refund of 20.00 USD failed, nothing was refunded: "),
            "Succeeded · the last refund failed",
        ),
        (
            "refund_pending:3600",
            ("warning", "The refund of 20.00 USD is not finished."),
            "Succeeded · a refund is in progress",
        ),
        (
            "refund:timeout_after,query_refund:timeout_before*always",
            ("warning", "The refund of 20.00 USD is not finished."),
            "Succeeded · a refund is in progress",
        ),
    ],
)
def test_a_refund(
    ana: Client, client: SignedClient, simulate: str, banner: tuple[str, str], chip: str
) -> None:
    payment = make_payment(client, simulate)
    tone, text = read_banner(ana, payment, "refund", amount="20", reason="damaged", refund_id=str(uuid7()))
    assert (tone, text.startswith(banner[1])) == (banner[0], True), text
    assert chip in read_page(ana, payment)


def test_a_declined_refund_says_why(ana: Client, client: SignedClient) -> None:
    payment = make_payment(client, "refund_declined")
    _tone, text = read_banner(ana, payment, "refund", amount="20", reason="damaged", refund_id=str(uuid7()))
    refund = Refund.objects.get()
    assert refund.failure_message
    assert refund.failure_message in text
    failure = f"The channel declined the refund. refund_declined · {refund.failure_message}"
    shown = f"{refund.refund_no} · {failure}"
    assert shown in re.sub("<[^>]+>", "", read_page(ana, payment))


@pytest.mark.parametrize(
    ("simulate", "tone", "text"),
    [
        ("", "success", "Captured: 60.00 USD."),
        (
            "capture:timeout_before,query:timeout_before*always",
            "warning",
            "The channel has not answered yet.",
        ),
    ],
)
def test_a_capture(ana: Client, client: SignedClient, simulate: str, tone: str, text: str) -> None:
    payment = make_payment(client, simulate, shop.authorized)
    shown = read_banner(ana, payment, "capture", amount="60", reason="sent")
    assert (shown[0], shown[1].startswith(text)) == (tone, True), shown


@pytest.mark.parametrize(
    ("simulate", "is_paid", "tone", "text"),
    [
        ("", False, "success", "Payment cancelled."),
        ("no_webhook", True, "warning", "The customer has paid meanwhile. Nothing was cancelled."),
        (
            "cancel:timeout_before,query:timeout_before*always",
            False,
            "warning",
            "The channel has not answered yet.",
        ),
    ],
)
def test_a_cancellation(
    ana: Client, client: SignedClient, simulate: str, is_paid: bool, tone: str, text: str
) -> None:
    created = shop.opened(client, simulate)
    if is_paid:
        bank.pay(created)
    payment = Payment.objects.get(payment_no=created["payment_no"])
    shown = read_banner(ana, payment, "cancel", reason="they rang")
    assert (shown[0], shown[1].startswith(text)) == (tone, True), shown


def test_the_head_of_a_payment_whose_saga_needs_review(ana: Client, client: SignedClient) -> None:
    payment = make_payment(client, "refund:error_5xx*always,query_refund:error_5xx*always")
    read_banner(ana, payment, "refund", amount="20", reason="damaged", refund_id=str(uuid7()))
    saga = SagaInstance.objects.get(definition="refund.create")
    saga.needs_attention, saga.attention_reason = True, "amounts differ"
    saga.save(update_fields=["needs_attention", "attention_reason"])
    html = read_page(ana, payment)
    assert "Succeeded · refund.create needs review" in html
    assert "amounts differ" in html


def test_the_head_of_a_disputed_payment(ana: Client, client: SignedClient) -> None:
    payment = make_payment(client, "")
    dispute = Dispute.objects.create(
        dispute_no="DSP-1",
        payment=payment,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        channel=payment.channel,
        channel_dispute_no="dp_1",
        amount_minor=500,
        currency="USD",
        reason="fraudulent",
        status=DisputeStatus.NEEDS_RESPONSE,
    )
    html = read_page(ana, payment)
    assert "Succeeded · open dispute" in html
    assert "5.00 USD · Fraudulent" in html
    dispute.status = DisputeStatus.WON
    dispute.save(update_fields=["status"])
    assert "open dispute" not in read_page(ana, payment)


def test_a_page_that_does_not_exist_has_a_way_back(ana: Client) -> None:
    answer = ana.get("/admin/gateway/nothing/")
    html = answer.content.decode()
    assert answer.status_code == 404
    assert "There is no such page" in html
    assert answer["X-Request-Id"] in html
    assert '<a href="/admin/">' in html


def test_a_page_that_the_role_forbids_has_a_way_back(sign_in: Callable[..., Client]) -> None:
    answer = sign_in("vera").get("/admin/gateway/payment/")
    html = answer.content.decode()
    assert answer.status_code == 403
    assert "You may not do this" in html
    assert answer["X-Request-Id"] in html
    assert '<a href="/admin/">' in html


def test_an_error_of_ours_has_a_way_back(ana: Client) -> None:
    browser = Client(raise_request_exception=False, headers={"accept-language": "en"})
    browser.cookies = ana.cookies
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE webhook_deliveries RENAME TO moved_away")
        try:
            answer = browser.get(reverse("admin:webhooks_webhookdelivery_changelist"))
        finally:
            cursor.execute("ALTER TABLE moved_away RENAME TO webhook_deliveries")
    html = answer.content.decode()
    assert answer.status_code == 500
    assert "This is an error on our side and has been reported" in html
    assert "checkout.css" in html
    assert answer["X-Request-Id"] in html
    assert '<a href="/admin/">' in html


def test_a_form_with_an_old_token_has_a_way_back(ana: Client, client: SignedClient) -> None:
    payment = make_payment(client, "", shop.opened)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = ana.cookies
    answer = strict.post(reverse("admin:gateway_payment_cancel", args=[payment.pk]), {"reason": "x"})
    assert answer.status_code == 403
    assert '<a href="/admin/">' in answer.content.decode()
    assert not StaffAction.objects.exists()


def test_customers_read_no_link_to_the_back_office(client: SignedClient) -> None:
    answer = Client().get("/checkout/nothing/at/all")
    assert answer.status_code == 404
    assert "/admin/" not in answer.content.decode()

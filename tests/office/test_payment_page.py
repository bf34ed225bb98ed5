"""The page of a payment: its timeline, and the refund that staff make there."""

import re
import uuid
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from common.ids import uuid7
from common.redaction import PAGES, redact
from gateway.models import Payment, Refund
from tests.support import bank, shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def fina(sign_in: Callable[..., Client]) -> Client:
    return sign_in("fina", "view_*", "staff.refund_payment")


@pytest.fixture
def paid(client: SignedClient) -> Payment:
    created = shop.paid(client, amount=123_456)
    bank.deliver_webhooks(created["payment_no"])
    return Payment.objects.get(payment_no=created["payment_no"])


def page(payment: Payment) -> str:
    return reverse("admin:gateway_payment_change", args=[payment.pk])


def refund_page(payment: Payment) -> str:
    return reverse("admin:gateway_payment_refund", args=[payment.pk])


def text_of(answer, status: int = 200) -> str:
    assert answer.status_code == status, answer.content.decode()[-2000:]
    return unescape(answer.content.decode())


def send(
    browser: Client, payment: Payment, amount: str, *, key: uuid.UUID | None = None, reason: str = "broken"
):
    form = {"refund-refund_id": str(key or uuid7()), "refund-amount": amount, "refund-reason": reason}
    return browser.post(refund_page(payment), form)


def test_the_timeline_has_all_events_newest_first(fina: Client, paid: Payment) -> None:
    send(fina, paid, "34.56")
    html = text_of(fina.get(page(paid)))
    for shown in (
        "1,234.56 USD",
        "Partially refunded",
        f'data-copy="{paid.payment_no}"',
        f'data-copy="{paid.order_no}"',
        "Attempt 1: Succeeded",
        "CallPaymentChannel",
        "CallChannelRefund",
        "Channel webhook",
        "payment.succeeded",
        "Refund requested",
        "Refund",
        "broken",
    ):
        assert shown in html, shown
    moments = re.findall(r'</div>\s*<time datetime="([^"]+)"', html)
    assert len(moments) > 10
    assert moments == sorted(moments, reverse=True)


def test_a_refund_moves_money_and_is_audited(fina: Client, paid: Payment) -> None:
    form = text_of(fina.get(refund_page(paid)))
    assert 'max="1234.56"' in form
    assert send(fina, paid, "34.56").status_code == 302
    refund = Refund.objects.get()
    assert (refund.amount_minor, refund.status, refund.reason) == (3_456, "succeeded", "broken")
    assert ("refund", 3_456) in [(kind, abs(amount)) for kind, amount in bank.read_ledger(paid.payment_no)]
    action = StaffAction.objects.get()
    assert (action.actor, action.action, action.object_id) == ("fina", "refund.create", paid.payment_no)
    assert action.after["refund_no"] == refund.refund_no
    assert "1,200.00 USD" in text_of(fina.get(refund_page(paid)))


def test_a_form_sent_twice_refunds_once(fina: Client, paid: Payment) -> None:
    key = uuid7()
    for _each in range(2):
        assert send(fina, paid, "10", key=key).status_code == 302
    assert Refund.objects.count() == StaffAction.objects.count() == 1


@pytest.mark.parametrize("amount", ["1234.57", "0", "-1", "0.001", "x", "", "NaN", "9" * 40])
def test_an_impossible_amount_is_refused_at_its_field(fina: Client, paid: Payment, amount: str) -> None:
    text_of(send(fina, paid, amount), 422)
    assert not Refund.objects.exists()
    assert not StaffAction.objects.exists()


def test_without_a_reason_nothing_is_refunded(fina: Client, paid: Payment) -> None:
    assert "This field is required." in text_of(send(fina, paid, "1", reason=" "), 422)
    assert not Refund.objects.exists()


def test_a_refund_above_what_is_left_is_refused_with_the_refundable_amount(
    fina: Client, paid: Payment, client: SignedClient
) -> None:
    key = uuid7()
    assert send(fina, paid, "1000", key=key).status_code == 302
    html = text_of(send(fina, paid, "300"), 422)
    assert "234.56 USD" in html
    assert Refund.objects.count() == 1


def test_the_key_of_another_payment_is_not_found(fina: Client, paid: Payment, client: SignedClient) -> None:
    other = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    key = uuid7()
    send(fina, paid, "1", key=key)
    assert send(fina, other, "1", key=key).status_code == 404


def test_staff_without_the_permission_see_why_they_cannot_refund(
    sign_in: Callable[..., Client], paid: Payment
) -> None:
    viewer = sign_in("vera", "view_*")
    html = text_of(viewer.get(page(paid)))
    assert "Your role does not permit this action." in html
    assert refund_page(paid) not in html
    assert viewer.get(refund_page(paid)).status_code == 403
    assert send(viewer, paid, "1").status_code == 403
    assert not Refund.objects.exists()


def test_an_unpaid_payment_says_why_it_cannot_be_refunded(fina: Client, client: SignedClient) -> None:
    unpaid = Payment.objects.get(payment_no=shop.opened(client)["payment_no"])
    for address in (page(unpaid), refund_page(unpaid)):
        assert "Only captured money can be refunded." in text_of(fina.get(address))
    text_of(send(fina, unpaid, "1"), 422)
    assert not Refund.objects.exists()


def test_amounts_have_the_decimals_of_their_currency(fina: Client, client: SignedClient) -> None:
    yen = Payment.objects.get(payment_no=shop.paid(client, amount=1_234_567, currency="JPY")["payment_no"])
    assert "1,234,567 JPY" in text_of(fina.get(page(yen)))
    text_of(send(fina, yen, "1.5"), 422)
    assert send(fina, yen, "567").status_code == 302
    assert Refund.objects.get().amount_minor == 567


def test_secrets_in_payloads_are_redacted() -> None:
    shown = redact({"client_secret": "x", "a": [{"card_number": "4242"}], "amount": 1, "token": ""}, PAGES)
    assert shown == {"client_secret": "•••", "a": [{"card_number": "•••"}], "amount": 1, "token": ""}

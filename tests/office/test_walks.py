"""Staff at work, in a real browser."""

import pytest

from gateway.models import Payment, Refund
from tests.office.conftest import staff
from tests.support import bank, shop

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def test_support_finds_a_payment_and_finance_refunds_a_part_by_keyboard(client, visit) -> None:
    told = shop.paid(client, amount=123_456)
    bank.deliver_webhooks(told["payment_no"])
    payment = Payment.objects.get(payment_no=told["payment_no"])
    fina = visit(staff("fina", "view_*", "access.refund_payment"))
    page = fina.go(f"/admin/gateway/payment/{payment.pk}/change/")
    fina.picture("payment")
    page.locator("[data-dialog=refund-dialog]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("34.56")
    page.keyboard.press("Tab")
    page.keyboard.type("one cup was cold")
    fina.picture("refund-dialog")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")
    page.get_by_text("Paid, and partly refunded").wait_for()
    assert Refund.objects.get().amount_minor == 3_456
    assert fina.errors == []

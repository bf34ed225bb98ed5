"""Support answers a merchant on the phone: finds a payment, reads its timeline and cancels it."""

import re

import pytest
from playwright.sync_api import expect

from audit.models import StaffAction
from gateway.models import Payment, Refund
from staff.roles import Role
from tests.support import bank, shop

LOOK = "zh-dark"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def test_a_payment_is_found_by_each_of_its_numbers(desk, client, acme) -> None:
    created = shop.paid(client, amount=123_456)
    bank.deliver_webhooks(created["payment_no"])
    payment = Payment.objects.get(payment_no=created["payment_no"])
    sue = desk("sue", Role.SUPPORT)
    for number in (payment.order_no, payment.channel_trade_no, payment.payment_no):
        sue.search(number)
        expect(sue.page).to_have_url(re.compile(f"/payment/{payment.pk}/change/$"))
    sue.search(acme.merchant.email)
    expect(sue.page).to_have_url(re.compile(f"/merchant/{acme.merchant.pk}/change/$"))
    sue.search("ORDER-OF-NOBODY")
    sue.require_text("Nothing found for “%(term)s”.", term="ORDER-OF-NOBODY")


def test_support_reads_the_timeline_and_cannot_refund(desk, client) -> None:
    created = shop.paid(client, amount=123_456)
    bank.deliver_webhooks(created["payment_no"])
    payment = Payment.objects.get(payment_no=created["payment_no"])
    sue = desk("sue", Role.SUPPORT)
    sue.search(payment.order_no)
    expect(sue.page.get_by_text("1,234.56 USD").first).to_be_visible()
    timeline = sue.page.get_by_role("region", name=sue.translate("Timeline"))
    sue.page.get_by_label(sue.translate("Technical entries")).check()
    for event in ("Payment created", "Channel update received", "Payment paid"):
        expect(timeline.get_by_text(sue.translate(event), exact=True).first).to_be_visible()
    assert sue.read_disabled_reason("Refund") == sue.translate("Your role does not permit this action.")
    sue.page.get_by_role("button", name=f"{sue.translate('Refund')}…").click(force=True)
    expect(sue.page.locator("dialog[open]")).to_have_count(0)
    assert sue.post_without_page(f"/admin/gateway/payment/{payment.pk}/refund/") == 403
    assert not Refund.objects.exists()
    assert not StaffAction.objects.exists()


def test_an_open_payment_is_cancelled(desk, client) -> None:
    payment = Payment.objects.get(payment_no=shop.opened(client)["payment_no"])
    sue = desk("sue", Role.SUPPORT)
    sue.search(payment.order_no)
    sue.page.get_by_role("link", name=f"{sue.translate('Cancel payment')}…", exact=True).click()
    expect(sue.page.get_by_role("heading", name=re.compile(payment.payment_no)).last).to_be_visible()
    sue.get_button("Cancel payment").click()
    reason = sue.page.get_by_label(sue.translate("Reason"))
    assert reason.evaluate("each => each.validity.valueMissing"), "the browser does not send the form"
    sue.save_picture("payment-cancel")
    sue.fill_field("Reason", "the merchant rang")
    sue.press("Cancel payment")
    sue.require_text("Payment cancelled.")
    payment.refresh_from_db()
    assert payment.status == "cancelled"
    done = StaffAction.objects.get()
    assert (done.actor, done.action, done.reason) == ("sue", "payment.cancel", "the merchant rang")
    sue.page.get_by_text(sue.translate("Unavailable actions")).click()
    why = sue.translate("Only an open payment can be cancelled. Refund a paid one instead.")
    assert sue.read_disabled_reason("Cancel payment") == why

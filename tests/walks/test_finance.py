"""Finance refunds a part of a payment, and exports a list."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from audit.models import StaffAction
from gateway.models import Payment, Refund
from staff.roles import Role
from tests.support import bank, shop

LOOK = "en-light"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def test_a_part_is_refunded_by_keyboard(desk, client) -> None:
    created = shop.paid(client, "refund_pending:3600", amount=123_456)
    bank.deliver_webhooks(created["payment_no"])
    shop.data(shop.refund(client, created, 20_000))
    payment = Payment.objects.get(payment_no=created["payment_no"])
    fina = desk("fina", Role.FINANCE)
    fina.go(f"/admin/gateway/payment/{payment.pk}/change/")
    dialog = fina.open_dialog("Refund")
    fina.save_picture("refund-dialog")
    for label, text in (
        ("captured", "1,234.56 USD"),
        ("refunded", "0.00 USD"),
        ("refund pending", "200.00 USD"),
        ("refundable", "1,034.56 USD"),
    ):
        row = dialog.locator("dl > div").filter(has=fina.page.get_by_text(fina.translate(label), exact=True))
        expect(row.locator("dd")).to_have_text(text)
    amount = dialog.get_by_label(fina.translate("Amount in %(currency)s", currency="USD"))
    expect(amount).to_have_attribute("max", "1034.56")
    amount_label = fina.translate("Amount in %(currency)s", currency="USD")
    fina.fill_field(amount_label, "1034.57")
    fina.fill_field("Reason", "one cup was cold")
    fina.page.keyboard.press("Enter")
    assert amount.evaluate("each => each.validity.rangeOverflow"), "the browser does not send the form"
    assert Refund.objects.count() == 1
    # If a browser sends the form all the same, the server refuses the amount in the form.
    amount.evaluate("each => { each.form.noValidate = true }")
    fina.press("Refund")
    fina.require_text("Ensure this value is less than or equal to %(limit_value)s.", limit_value="1034.56")
    assert Refund.objects.count() == 1
    fina.fill_field(amount_label, "34.56")
    fina.press("Refund")
    expect(fina.page).to_have_url(re.compile("/change/$"))
    refund = Refund.objects.latest("created_at")
    assert (refund.amount_minor, refund.reason) == (3_456, "one cup was cold")
    done = StaffAction.objects.get()
    assert (done.actor, done.action, done.reason) == ("fina", "refund.create", "one cup was cold")
    payment.refresh_from_db()
    assert payment.refund_pending_minor == 23_456


def test_a_list_is_exported(desk, client, tmp_path: Path) -> None:
    shop.paid(client, subject="=1+1", amount=100)
    shop.paid(client, subject="茶", amount=200)
    fina = desk("fina", Role.FINANCE)
    fina.go("/admin/exports/export/")
    fina.page.get_by_role("link", name=f"{fina.translate('New export')}…").click()
    fina.page.get_by_label(fina.translate("Data")).select_option("payments")
    fina.page.get_by_label(fina.translate("Reason")).fill("the month is closed")
    with fina.page.expect_download() as download:
        fina.get_button("New export").click()
    file = tmp_path / "payments.csv"
    download.value.save_as(file)
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf"), "Excel needs the byte order mark"
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert {line["subject"]: line["amount"] for line in lines} == {"'=1+1": "1.00", "茶": "2.00"}
    done = StaffAction.objects.get()
    assert (done.actor, done.object_type, done.reason) == ("fina", "export", "the month is closed")

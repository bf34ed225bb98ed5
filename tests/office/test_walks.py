"""Staff at work, in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from gateway.models import Payment, Refund
from ops.services.consistency import run_checks
from tests.office.conftest import staff
from tests.office.test_second_person import make_parked
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


def serious(page) -> list[str]:
    """What axe finds that shuts people out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


OPERATOR = ("view_*", "sagas.operate_sagainstance", "access.approve_operation")


def test_an_operator_retries_compensates_and_resolves_with_a_second_person(client, visit) -> None:
    """By keyboard alone."""
    saga = make_parked(client, 2_000_000)
    address = f"/admin/sagas/sagainstance/{saga.pk}/change/"
    ana = visit(staff("ana", *OPERATOR))
    page = ana.go(address)
    ana.picture("saga")
    page.locator("[data-dialog=dialog-mark_resolved]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("settled by hand")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    send = page.locator("#dialog-mark_resolved button[type=submit]")
    assert send.is_disabled()
    page.keyboard.type(saga.business_id)
    assert send.is_enabled()
    ana.picture("saga-dialog")
    page.keyboard.press("Enter")
    page.get_by_text("waits for a second person", exact=False).first.wait_for()
    ana.picture("saga-approval")
    ben = visit(staff("ben", *OPERATOR), theme="dark")
    page = ben.go(address)
    ben.picture("saga-approval")
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Approved and done.").wait_for()
    saga.refresh_from_db()
    assert not saga.needs_attention
    assert ana.errors == ben.errors == []


def test_the_pages_by_day_and_by_night(client, visit, settings) -> None:
    """Looks at each page in each language and theme: none has an error, none a serious barrier."""
    settings.LOCAL_STACK = True
    told = shop.paid(client, amount=123_456)
    shop.data(shop.refund(client, told, 3_456))
    shop.error(shop.create(client, "decline"), 402, "payment_declined")
    bank.deliver_webhooks(told["payment_no"])
    saga = make_parked(client, 2_000_000)
    run_checks()
    payment = Payment.objects.get(payment_no=told["payment_no"])
    pages = {
        "dashboard": "/admin/",
        "list": "/admin/gateway/payment/",
        "payment": f"/admin/gateway/payment/{payment.pk}/change/",
        "saga": f"/admin/sagas/sagainstance/{saga.pk}/change/",
    }
    ana = staff("ana", "access.refund_payment", *OPERATOR)
    barriers: list[str] = []
    for language, theme in (("en", "light"), ("zh-hans", "dark"), ("zh-hans", "light"), ("en", "dark")):
        visitor = visit(ana, language, theme)
        for name, address in pages.items():
            page = visitor.go(address)
            visitor.picture(name)
            barriers += [f"{name} {language} {theme}: {each}" for each in serious(page)]
        page.locator("[data-dialog=dialog-compensate]").click()
        page.locator("#dialog-compensate").wait_for()
        visitor.picture("dialog")
        barriers += [f"dialog {language} {theme}: {each}" for each in serious(page)]
        assert visitor.errors == []
    assert not barriers, "\n".join(barriers)

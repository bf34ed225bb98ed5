"""The search and the lists by keyboard alone, in a real browser."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from gateway.models import Payment
from merchants.models import Merchant
from scripts.page_problems import find_cut_texts
from tests.office.conftest import staff
from tests.support import shop

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def test_search_and_lists_need_no_mouse(client, visit) -> None:
    for number in ("DESK-1", "DESK-2", "DESK-3"):
        shop.opened(client, order_no=number)
    page = visit(staff("ana", "view_*")).go("/admin/gateway/payment/")
    search, results = page.locator("[data-find] input"), page.locator("#office-found-list a")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tr.office-row-here")).to_contain_text("DESK-3")
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.insert_text("desk-")  # one request: the answer to "desk" would be the same six
    expect(results).to_have_count(6)  # three payments and their orders
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(results.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#office-found-list")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(search).to_have_value("")

    page.keyboard.press("Control+k")
    page.keyboard.insert_text("desk-2")
    with page.expect_navigation(url="**/gateway/payment/*/change/"):
        page.keyboard.press("Enter")
    expect(page.locator("#content")).to_contain_text("DESK-2")


# Wholly on the screen, and not below a bar that stays there.
IS_IN_SIGHT = """
rows => rows.filter(row => {
    const box = row.getBoundingClientRect();
    const seen = (y) => row.contains(document.elementFromPoint(box.left + box.width / 2, y));
    return box.bottom <= innerHeight && seen(box.top + 2) && seen(box.bottom - 2);
}).length
"""


def test_a_desktop_shows_24_payments_at_once(client, visit) -> None:
    for _payment in range(26):
        shop.opened(client)
    page = visit(staff("ana", "view_*")).go("/admin/gateway/payment/")
    assert page.viewport_size == {"width": 1440, "height": 900}
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(26)
    assert rows.evaluate_all(IS_IN_SIGHT) >= 24


# A fraction of a pixel too little room draws an ellipsis; `scrollWidth` is a whole number and does not show it.
IS_WHOLE = """
each => {
    const text = document.createRange();
    text.selectNodeContents(each);
    return text.getBoundingClientRect().width <= each.getBoundingClientRect().width + 1 / 64;
}
"""


def test_only_the_name_of_a_page_is_shortened(client, acme, visit) -> None:
    """This holds at every width. The tooltip has the whole name. A desktop never shortens a payment's number."""
    opened = shop.opened(client)
    payment = Payment.objects.get(payment_no=opened["payment_no"])
    Merchant.objects.filter(pk=acme.merchant.pk).update(name="Coffee and " * 15)
    page = visit(staff("ana", "view_*")).go(reverse("admin:gateway_payment_change", args=[payment.pk]))
    name = page.locator("#header-inner h1 [title]")
    for width in (1440, 1280, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 860})
        assert find_cut_texts(page) == [], width
        if width >= 1024:
            assert name.evaluate(IS_WHOLE), width
    expect(name).to_have_attribute("title", payment.payment_no)
    page.goto(reverse("admin:merchants_merchant_change", args=[acme.merchant.pk]))
    for width in (1440, 1280, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 860})
        assert find_cut_texts(page) == [], width
        assert not name.evaluate(IS_WHOLE), width

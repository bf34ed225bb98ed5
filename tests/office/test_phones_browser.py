"""Pages on a phone."""

import pytest
from django.urls import reverse

from audit.models import StaffAction
from tests.office.conftest import staff

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]

PHONE = {"width": 390, "height": 844}
# Texts that take more than one line. The first letter of a heading has a box of its own.
BROKEN = """
all => all.filter(each => {
    const text = document.createRange();
    text.selectNodeContents(each);
    return new Set(Array.from(text.getClientRects(), box => Math.round(box.bottom))).size > 1;
}).map(each => each.textContent)
"""


def test_no_word_is_broken(visit) -> None:
    page = visit(staff("ana", "view_*"), language="zh-hans").go("/admin/sessions/")
    page.set_viewport_size(PHONE)
    words = page.locator("#sessions th, #sessions strong")
    assert "当前会话" in words.all_text_contents()
    assert words.evaluate_all(BROKEN) == []


def test_a_page_is_as_wide_as_the_screen(acme, visit) -> None:
    """The tables of a merchant's page are scrolled; texts for screen readers in them do not make the page wider."""
    StaffAction.objects.create(
        actor="ana", action="merchant.suspend", object_type="merchant", object_id=str(acme.merchant.pk)
    )
    page = visit(staff("ana", "view_*")).go(
        reverse("admin:merchants_merchant_change", args=[acme.merchant.pk])
    )
    page.set_viewport_size(PHONE)
    assert page.locator(".office-scroll .office-unseen").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]

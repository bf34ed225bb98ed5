"""The list of open sessions on a phone."""

import pytest

from tests.office.conftest import staff

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]

# Texts that take more than one line. The first letter of a heading has a box of its own.
BROKEN = """
all => all.filter(each => {
    const text = document.createRange();
    text.selectNodeContents(each);
    return new Set(Array.from(text.getClientRects(), box => Math.round(box.bottom))).size > 1;
}).map(each => each.textContent)
"""


def test_a_phone_breaks_no_word(visit) -> None:
    page = visit(staff("ana", "view_*"), language="zh-hans").go("/admin/sessions/")
    page.set_viewport_size({"width": 390, "height": 844})
    words = page.locator("#sessions th, #sessions strong")
    assert "当前会话" in words.all_text_contents()
    assert words.evaluate_all(BROKEN) == []

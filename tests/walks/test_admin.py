"""An Admin creates a merchant and manages its keys."""

import re

import pytest
from playwright.sync_api import expect

from audit.models import StaffAction
from merchants.models import Merchant
from staff.roles import Role
from tests.support.signing import SignedClient

LOOK = "en-dark"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def answer(key: str, secret: str) -> int:
    return SignedClient(key, secret).get("/api/v1/merchant").status_code


def test_a_merchant_is_made_and_its_key_rotated_and_revoked(desk) -> None:
    ada = desk("ada", Role.ADMIN)
    page = ada.go("/admin/merchants/merchant/")
    shown = page.locator("#shown-once code")
    page.get_by_role("link", name=f"{ada.translate('Create a merchant')}…").click()
    page.get_by_label(ada.translate("Name")).fill("Corner Shop")
    page.get_by_label(ada.translate("Email")).fill("shop@example.com")
    page.get_by_label(ada.translate("Reason")).fill("signed on Monday")
    ada.get_button("Create a merchant").click()
    expect(shown).to_have_count(4)
    keys = shown.all_inner_texts()
    assert answer(*keys[:2]) == 200
    page.reload()
    expect(shown).to_have_count(0)
    assert not any(secret in page.content() for secret in keys)
    assert Merchant.objects.count() == 1, "sending the form again makes no second merchant"

    ada.search("shop@example.com")
    expect(
        page.get_by_role("heading", name="Corner Shop").or_(page.get_by_text("Corner Shop")).first
    ).to_be_visible()
    page.goto("/admin/merchants/apikey/")
    page.get_by_role("link", name=re.compile("^pk_test_")).click()
    page.get_by_role("link", name=f"{ada.translate('Rotate')}…").click()
    page.get_by_label(ada.translate("Reason")).fill("a colleague left")
    ada.get_button("Rotate").click()
    expect(shown).to_have_count(2)
    successor = shown.all_inner_texts()
    assert answer(*successor) == answer(*keys[:2]) == 200, "both keys work during the overlap"
    ada.get_button("I have saved it").click()
    expect(page).to_have_url(re.compile("/apikey/.*/change/$"))
    assert successor[1] not in page.content()

    page.get_by_role("link", name=f"{ada.translate('Revoke')}…").click()
    page.get_by_label(ada.translate("Reason")).fill("it was stolen")
    ada.get_button("Revoke").click()
    ada.require_text("%(operation)s: done.", operation=ada.translate("Revoke"))
    assert answer(*keys[:2]) == 401
    assert answer(*successor) == 200
    done = StaffAction.objects.exclude(action="api_key.viewed").order_by("id")
    assert list(done.values_list("actor", "action", "reason")) == [
        ("ada", "merchant.create", "signed on Monday"),
        ("ada", "api_key.rotate", "a colleague left"),
        ("ada", "api_key.revoke", "it was stolen"),
    ]

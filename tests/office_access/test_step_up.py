"""Sensitive actions need a second factor that was checked a short time ago."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from staff import step_up
from staff.roles import Permission
from staff.step_up import SENSITIVE, is_step_up_needed, record_check
from tests.office_access.conftest import PASSWORD, member
from tests.support.authenticators import compute_fresh_code_of, register_authenticator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_limit")]

INVITE, PAYMENTS, CONFIRM = "/admin/auth/user/invite/", "/admin/gateway/payment/", "/admin/confirm/"


@pytest.fixture
def _limit(settings: Any, _second_factor_required: None) -> None:
    settings.STAFF_STEP_UP_SECONDS = 900


@pytest.fixture
def ada(_limit: None) -> User:
    user = member("ada", "Admin", password=PASSWORD)
    register_authenticator(user)
    return user


@pytest.fixture
def browser(ada: User) -> Client:
    browser = Client(headers={"accept-language": "en"})
    form = {"username": "ada", "password": PASSWORD, "otp_token": compute_fresh_code_of(ada)}
    assert browser.post("/admin/login/", form).status_code == 302
    return browser


def next_of(answer: Any) -> str:
    parts = urlsplit(answer["Location"])
    assert (answer.status_code, parts.path) == (302, CONFIRM)
    return parse_qs(parts.query)["next"][0]


def test_the_code_of_the_sign_in_counts_for_a_quarter_of_an_hour(browser: Client, clock: list[float]) -> None:
    assert browser.get(INVITE).status_code == 200
    clock[0] += 901
    assert next_of(browser.get(INVITE)) == INVITE
    assert browser.get(PAYMENTS).status_code == 200


def test_a_code_leads_back_to_the_action_with_its_reason(
    browser: Client, ada: User, clock: list[float]
) -> None:
    clock[0] += 901
    address = next_of(browser.post(INVITE, {"username": "eve", "reason": "new & first colleague"}))
    assert address == f"{INVITE}?reason=new+%26+first+colleague"
    assert not User.objects.filter(username="eve").exists()
    assert browser.post(CONFIRM, {"next": address, "token": "000000"}).status_code == 422
    assert next_of(browser.get(INVITE)) == INVITE
    answer = browser.post(CONFIRM, {"next": address, "token": compute_fresh_code_of(ada)})
    assert (answer.status_code, answer["Location"]) == (302, address)
    page = browser.get(address)
    assert page.status_code == 200
    assert "new &amp; first colleague" in page.content.decode()


def test_the_page_leads_to_no_other_host(browser: Client, ada: User) -> None:
    answer = browser.post(CONFIRM, {"next": "//evil.example/", "token": compute_fresh_code_of(ada)})
    assert answer["Location"] == "/admin/"


def test_only_sensitive_permissions_need_it(clock: list[float], settings: Any) -> None:
    session: dict[str, Any] = {}
    assert {each for each in Permission if is_step_up_needed(session, each)} == SENSITIVE
    record_check(session)
    assert not is_step_up_needed(session, Permission.APPROVE)
    record_check(session, checked_at=clock[0] - 901)  # the provider's session is older
    assert is_step_up_needed(session, Permission.APPROVE)
    record_check(
        session, checked_at=clock[0] + 10**6
    )  # the provider's clock is ahead: the time counts from now
    assert session[step_up.CHECKED_AT] == clock[0]
    clock[0] += 901
    assert is_step_up_needed(session, Permission.APPROVE)
    settings.STAFF_STEP_UP_SECONDS = 0
    assert not is_step_up_needed(session, Permission.APPROVE)

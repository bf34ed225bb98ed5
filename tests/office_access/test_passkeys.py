"""Passkeys: added with a code, used to sign in, renamed, removed, and refused when anything about them is wrong."""

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.models import StaffAction
from staff import passkeys, second_factor
from staff.models import Passkey, StaffSession
from tests.office_access.conftest import PASSWORD, member
from tests.support.authenticators import compute_code_of, compute_fresh_code_of, register_authenticator
from tests.support.passkeys import SecurityKey

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_address")]

HOST, ORIGIN = "pay.example.com", "https://pay.example.com"
LOGIN, PAYMENTS, PAGE, PASSKEYS = (
    "/admin/login/",
    "/admin/gateway/payment/",
    "/admin/second-factor/",
    "/admin/passkeys/",
)


@pytest.fixture
def _address(settings: Any, _second_factor_required: None) -> None:
    settings.PUBLIC_BASE_URL = ORIGIN


@pytest.fixture
def vera(_address: None) -> User:
    user = member("vera", "Viewer", password=PASSWORD)
    register_authenticator(user)
    return user


@pytest.fixture
def client(vera: User) -> Client:
    """Vera's browser, signed in with password and code."""
    browser = new_browser()
    browser.post(LOGIN, {"username": "vera", "password": PASSWORD, "otp_token": compute_code_of(vera)})
    return browser


@pytest.fixture
def security_key() -> SecurityKey:
    return SecurityKey(ORIGIN, HOST)


def new_browser() -> Client:
    return Client(headers={"accept-language": "en"})


def read_options(answer: Any) -> dict[str, Any]:
    found = re.search(r'data-options="([^"]+)"', answer.content.decode())
    assert found is not None, answer.content.decode()
    options: dict[str, Any] = json.loads(unescape(found.group(1)))
    return options


def add(client: Client, user: User, security_key: SecurityKey, *, name: str = "Laptop") -> dict[str, Any]:
    options = read_options(
        client.post(f"{PASSKEYS}add/", {"name": name, "token": compute_fresh_code_of(user)})
    )
    client.post(f"{PASSKEYS}confirm/", {"response": security_key.create(options)})
    return options


def sign_in(security_key: SecurityKey, browser: Client | None = None, **extra: str) -> Client:
    browser = browser or new_browser()
    options = read_options(browser.post(f"{PASSKEYS}sign-in/", extra))
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": security_key.get(options), **extra})
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get(PAYMENTS).status_code == 200


def test_a_passkey_signs_in_without_password_and_code(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    options = add(client, vera, security_key)
    assert options["rp"]["id"] == HOST
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert "Laptop" in client.get(PAGE).content.decode()
    assert is_signed_in(sign_in(security_key))
    passkey = Passkey.objects.get()
    assert (passkey.sign_count, passkey.last_used_at is not None) == (1, True)


def test_adding_needs_a_code(client: Client, vera: User) -> None:
    for token in ("", "000000", compute_code_of(vera)):  # the last code was used to sign in
        answer = client.post(f"{PASSKEYS}add/", {"name": "Laptop", "token": token})
        assert answer.status_code == 302
    assert client.post(f"{PASSKEYS}confirm/", {"response": "{}"}).status_code == 302
    assert not Passkey.objects.exists()


def test_a_password_alone_adds_and_removes_nothing(
    vera: User, client: Client, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    passkey = Passkey.objects.get()
    half = new_browser()
    half.force_login(vera)
    for address in ("add/", "confirm/", f"{passkey.pk}/rename/", f"{passkey.pk}/remove/"):
        assert half.post(PASSKEYS + address, {"name": "Mine"})["Location"].startswith(LOGIN)
        half.force_login(vera)
    assert Passkey.objects.get().name == "Laptop"


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example.com"},
        {"host": "evil.example.com"},
        {"is_verifying": False},
    ],
)
def test_another_site_or_an_unverified_person_is_refused(
    client: Client, vera: User, security_key: SecurityKey, wrong: dict[str, Any]
) -> None:
    add(client, vera, security_key)
    for name, value in wrong.items():
        setattr(security_key, name, value)
    assert not is_signed_in(sign_in(security_key))
    other = SecurityKey(**{"origin": ORIGIN, "host": HOST, **wrong})
    add(client, vera, other)
    assert Passkey.objects.count() == 1


def test_a_copied_key_and_another_key_are_refused(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    sign_in(security_key)
    security_key.counter = 0
    assert not is_signed_in(sign_in(security_key)), "a copy of the key has a lower counter"
    stranger = SecurityKey(ORIGIN, HOST, credential_id=security_key.credential_id)
    assert not is_signed_in(sign_in(stranger)), "another private key"


def test_a_response_is_accepted_once_and_only_for_its_challenge(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    browser = new_browser()
    response = security_key.get(read_options(browser.post(f"{PASSKEYS}sign-in/")))
    stranger = new_browser()
    stranger.post(f"{PASSKEYS}sign-in/")
    for other in (new_browser(), stranger):  # without a challenge, and with another one
        other.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
        assert not is_signed_in(other)
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
    assert is_signed_in(browser)
    browser.logout()
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
    assert not is_signed_in(browser)


def test_a_stranger_who_begins_a_sign_in_leaves_no_row(vera: User) -> None:
    browser = new_browser()
    for _ in range(3):
        browser.post(f"{PASSKEYS}sign-in/")
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": "{}"})
    assert not StaffSession.objects.exists()


def test_a_cookie_that_is_sent_again_or_altered_signs_nobody_in(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    security_key.counter = -1  # a passkey that is synchronized between devices does not count
    browser = new_browser()
    response = security_key.get(read_options(browser.post(f"{PASSKEYS}sign-in/")))
    cookie = browser.cookies["passkey_sign_in"].value
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
    assert is_signed_in(browser)
    assert browser.cookies["passkey_sign_in"].value == ""
    for sent in (cookie, cookie[:-4] + "AAAA", "garbage", ""):
        thief = new_browser()
        thief.cookies["passkey_sign_in"] = sent
        thief.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
        assert not is_signed_in(thief), sent


def test_a_challenge_ends(client: Client, vera: User, security_key: SecurityKey, clock: list[float]) -> None:
    add(client, vera, security_key)
    browser = new_browser()
    response = security_key.get(read_options(browser.post(f"{PASSKEYS}sign-in/")))
    clock[0] += 301
    browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": response})
    assert not is_signed_in(browser)


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_a_person_without_access_cannot_sign_in(
    client: Client, vera: User, security_key: SecurityKey, change: dict[str, bool]
) -> None:
    add(client, vera, security_key)
    User.objects.filter(pk=vera.pk).update(**change)
    assert not is_signed_in(sign_in(security_key))


def test_removing_a_passkey_ends_its_sessions(client: Client, vera: User, security_key: SecurityKey) -> None:
    add(client, vera, security_key)
    browser = sign_in(security_key)
    passkey = Passkey.objects.get()
    client.post(f"{PASSKEYS}{passkey.pk}/rename/", {"name": "Old laptop"})
    assert "Old laptop" in client.get(PAGE).content.decode()
    client.post(f"{PASSKEYS}{passkey.pk}/remove/")
    assert not is_signed_in(browser)
    assert not is_signed_in(sign_in(security_key))
    assert is_signed_in(client)
    assert list(StaffAction.objects.order_by("pk").values_list("action", "after")) == [
        ("passkey.added", {"passkey": "Laptop"}),
        ("passkey.renamed", {"passkey": "Old laptop"}),
        ("passkey.removed", {"passkey": "Old laptop"}),
    ]


def test_another_persons_passkey_cannot_be_changed(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    passkey = Passkey.objects.get()
    carl = member("carl", "Viewer")
    assert not passkeys.remove_passkey(user=carl, passkey_id=passkey.pk)
    assert not passkeys.rename_passkey(user=carl, passkey_id=passkey.pk, name="Mine")


def test_a_passkey_is_registered_once(client: Client, vera: User, security_key: SecurityKey) -> None:
    add(client, vera, security_key)
    options = add(client, vera, security_key, name="Again")
    assert [each["id"] for each in options["excludeCredentials"]] == [Passkey.objects.get().credential_id]
    assert Passkey.objects.get().name == "Laptop"


def test_a_person_has_ten_passkeys_at_most(client: Client, vera: User, security_key: SecurityKey) -> None:
    for number in range(passkeys.MOST_PASSKEYS):
        Passkey.objects.create(user=vera, name=str(number), credential_id=f"id-{number}", public_key="x")
    add(client, vera, security_key, name="Laptop")
    assert Passkey.objects.filter(name="Laptop").count() == 0


def test_a_reset_of_the_second_factor_removes_passkeys(
    client: Client, vera: User, security_key: SecurityKey
) -> None:
    add(client, vera, security_key)
    assert second_factor.remove_second_factor(user=vera)
    assert not Passkey.objects.exists()


@pytest.mark.parametrize(
    "response",
    [
        "",
        "x",
        "[]",
        "null",
        "{}",
        '{"id": 1}',
        '{"id": null, "rawId": [], "response": "x", "type": 3}',
        "x" * 30_000,
    ],
)
def test_malformed_responses_are_refused(
    client: Client, vera: User, security_key: SecurityKey, response: str
) -> None:
    add(client, vera, security_key)
    known = json.loads(security_key.get({"challenge": "AAAA"}))
    broken = [json.dumps({**known, "response": each}) for each in (None, 1, {}, {"clientDataJSON": "!"})]
    for text in (response, *broken):
        browser = new_browser()
        browser.post(f"{PASSKEYS}sign-in/")
        assert browser.post(f"{PASSKEYS}sign-in/confirm/", {"response": text}).status_code == 302
        assert not is_signed_in(browser)
        assert passkeys.finish_registration(user=vera, name="x", response=text, challenge="AAAA") is None


@pytest.mark.parametrize(
    ("requested", "reached"),
    [(PAYMENTS, PAYMENTS), ("https://evil.example.com/", "/admin/"), ("foo", "/admin/"), ("", "/admin/")],
)
def test_sign_in_leads_to_pages_of_ours_only(
    client: Client, vera: User, security_key: SecurityKey, requested: str, reached: str
) -> None:
    add(client, vera, security_key)
    browser = new_browser()
    options = read_options(browser.post(f"{PASSKEYS}sign-in/", {"next": requested}))
    answer = browser.post(
        f"{PASSKEYS}sign-in/confirm/", {"response": security_key.get(options), "next": requested}
    )
    assert answer["Location"] == reached

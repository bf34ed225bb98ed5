"""Single sign-on with a real OpenID Connect provider: accounts, their roles, and refused answers of the provider."""

import base64
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.test import Client
from django.utils.translation import override
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from audit.models import StaffAction
from backoffice.approvals.approvers import find_approver_conflict
from common.errors import OperationRefused
from staff import accounts, sso_accounts, sso_metadata, sso_provider, step_up
from staff.models import Authenticator, SingleSignOnIdentity
from staff.roles import Role
from staff.sso_accounts import AccessRefused
from staff.sso_metadata import ProviderUnavailable
from staff.sso_provider import SignInRefused
from tests.office_access.conftest import PASSWORD, member
from tests.support.authenticators import compute_fresh_code_of, register_authenticator
from tests.support.openid_provider import DISCOVERY, TOKEN, Claims, OpenIdProvider, sign
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

START, CALLBACK, LOGIN, PAYMENTS, INVITE = (
    "/admin/single-sign-on/",
    "/admin/single-sign-on/callback/",
    "/admin/login/",
    "/admin/gateway/payment/",
    "/admin/auth/user/invite/",
)
CLIENT_SECRET = "the-client-secret"
VERA = {
    "sub": "vera-1",
    "email": "Vera@example.com",
    "email_verified": True,
    "groups": ["pay-view", "football"],
    "amr": ["pwd", "mfa"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as running:
        yield running


@pytest.fixture
def provider(server: OpenIdProvider, settings: Any) -> Iterator[OpenIdProvider]:
    server.reset()
    sso_metadata.forget_metadata()
    settings.STAFF_OTP_REQUIRED = True
    settings.STAFF_OTP_THROTTLE_SECONDS = 0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = server.issuer, "back-office"
    settings.OIDC_CLIENT_SECRET = CLIENT_SECRET
    settings.OIDC_TIMEOUT_SECONDS = 60
    settings.OIDC_CLOCK_SKEW_SECONDS = (
        600  # on a busy machine, the answer arrives long after the sign-in began
    )
    settings.OIDC_GROUP_ROLES = {"pay-view": "Viewer", "pay-finance": "Finance"}
    server.add_person("vera-1", **VERA)
    with override("en"):
        yield server


def new_browser() -> Client:
    return Client(headers={"accept-language": "en"})


def begin(browser: Client, **query: str) -> str:
    answer = browser.get(START, query)
    assert answer.status_code == 302, read_refusal(answer)
    return answer["Location"]


def sign_in(provider: OpenIdProvider, browser: Client, subject: str = "vera-1", **query: str) -> Any:
    return come_back(browser, provider.approve(begin(browser, **query), subject))


def come_back(browser: Client, address: str) -> Any:
    parts = urlsplit(address)
    assert parts.path == CALLBACK
    return browser.get(f"{parts.path}?{parts.query}")


def is_signed_in(browser: Client) -> bool:
    return browser.get(PAYMENTS).status_code == 200


def assert_refused(answer: Any, browser: Client, text: str, status: int = 403) -> None:
    assert answer.status_code == status
    assert text in read_refusal(answer)
    assert not is_signed_in(browser)


def read_refusal(answer: Any) -> str:
    found = re.search(r'role="alert">([^<]+)<', answer.content.decode())
    return found.group(1) if found else "(no refusal)"


def test_the_first_sign_in_makes_an_account_with_the_roles_of_the_groups(provider: OpenIdProvider) -> None:
    browser = new_browser()
    assert "Sign in with single sign-on" in browser.get(LOGIN).content.decode()
    address = begin(browser, next=PAYMENTS)
    parameters = parse_qs(urlsplit(address).query)
    assert parameters["scope"] == ["openid email profile"]
    assert parameters["redirect_uri"] == [f"http://localhost:40003{CALLBACK}"]
    answer = come_back(browser, provider.approve(address, "vera-1"))
    assert (answer.status_code, answer["Location"]) == (302, PAYMENTS)
    assert is_signed_in(browser)
    user = User.objects.get()
    assert (user.username, user.email) == ("vera@example.com", "vera@example.com")
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (True, False, False)
    assert list(user.groups.values_list("name", flat=True)) == ["Viewer"]
    (entry,) = StaffAction.objects.all()
    assert (entry.action, entry.actor) == ("single_sign_on.account_created", "single_sign_on:provider")
    assert entry.after == {"roles": ["Viewer"], "email": "vera@example.com", "subject": "vera-1"}
    sign_in(provider, new_browser())
    assert SingleSignOnIdentity.objects.count() == User.objects.count() == StaffAction.objects.count() == 1


def test_secrets_of_the_sign_in_are_not_in_addresses_or_readable_cookies(provider: OpenIdProvider) -> None:
    browser = new_browser()
    address = begin(browser)
    cookie = browser.cookies["single_sign_on"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/admin/")
    come_back(browser, provider.approve(address, "vera-1"))
    (parameters,) = provider.token_requests
    assert parameters["code_verifier"] not in address + cookie.value
    assert CLIENT_SECRET not in address
    assert browser.cookies["single_sign_on"].value == ""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"groups": ["football"]}, "None of your groups"),
        ({"groups": []}, "None of your groups"),
        ({"groups": {"pay-view": True}}, "None of your groups"),
        ({"email_verified": False}, "did not confirm an e-mail address"),
        ({"email_verified": "true"}, "did not confirm an e-mail address"),
        ({"email": "vera@exämple.com"}, "did not confirm an e-mail address"),
        ({"email": None}, "did not confirm an e-mail address"),
        ({"amr": ["pwd"]}, "did not confirm a second factor"),
        ({"amr": None}, "did not confirm a second factor"),
    ],
)
def test_a_stranger_of_the_provider_gets_no_account(
    provider: OpenIdProvider, change: Claims, text: str
) -> None:
    with pytest.raises(AccessRefused, match=text):
        sso_accounts.sign_in(VERA | change)
    assert not User.objects.exists()
    assert not StaffAction.objects.exists()


def test_acr_and_settings_decide_what_proves_a_second_factor(provider: OpenIdProvider, settings: Any) -> None:
    settings.OIDC_ACR_VALUES = ["gold"]
    provider.add_person("vera-1", **VERA | {"amr": None, "acr": "gold"})
    browser = new_browser()
    assert parse_qs(urlsplit(begin(browser)).query)["acr_values"] == ["gold"]
    sign_in(provider, browser)
    assert is_signed_in(browser)
    settings.OIDC_ACR_VALUES, settings.OIDC_AMR_VALUES = [], ["*"]
    sign_in(provider, browser := new_browser())
    assert is_signed_in(browser)


def test_groups_are_read_from_userinfo_and_from_inside_a_claim(
    provider: OpenIdProvider, settings: Any
) -> None:
    provider.alter_token = lambda claims, key: sign(without(claims, "groups", "email"), key)
    sign_in(provider, browser := new_browser())
    assert is_signed_in(browser)
    provider.alter_userinfo = lambda content: content.update(sub="somebody-else")
    assert_refused(sign_in(provider, browser := new_browser()), browser, "could not be verified")
    settings.OIDC_GROUPS_CLAIM = "realm.roles"
    provider.add_person("vera-1", **VERA | {"realm": {"roles": ["pay-finance"]}})
    provider.reset()
    sign_in(provider, new_browser())
    assert User.objects.get().groups.get().name == "Finance"


def without(claims: Claims, *names: str) -> Claims:
    return {name: value for name, value in claims.items() if name not in names}


def test_roles_follow_the_groups_at_each_sign_in(provider: OpenIdProvider) -> None:
    user = sso_accounts.sign_in(VERA).user
    sso_accounts.sign_in(VERA | {"groups": ["pay-finance"]})
    assert list(user.groups.values_list("name", flat=True)) == ["Finance"]
    provider.add_person("vera-1", **VERA | {"groups": ["football"]})
    assert_refused(sign_in(provider, browser := new_browser()), browser, "None of your groups")
    assert not user.groups.exists()
    assert list(StaffAction.objects.order_by("id").values_list("action", "before", "after"))[1:] == [
        ("single_sign_on.roles_set", {"roles": ["Viewer"]}, {"roles": ["Finance"]}),
        ("single_sign_on.roles_set", {"roles": ["Finance"]}, {"roles": []}),
    ]
    with pytest.raises(OperationRefused, match="groups of the single sign-on provider"):
        accounts.set_roles(user_id=user.pk, roles=[Role.ADMIN], actor="ann", reason="x")
    with pytest.raises(OperationRefused, match="Unlink it"):
        accounts.send_password_link(user_id=user.pk, actor="ann", reason="x")


@pytest.mark.parametrize("username", ["vera", "VERA@example.com"])
def test_an_account_with_the_same_address_or_name_is_not_taken_over(
    provider: OpenIdProvider, username: str
) -> None:
    email = "vera+pay@example.com" if username == "vera" else ""
    own = User.objects.create_user(username, email=email, is_staff=True)
    with pytest.raises(AccessRefused, match="There is already an account"):
        sso_accounts.sign_in(VERA)
    assert not SingleSignOnIdentity.objects.exists()
    assert not own.groups.exists()


def test_the_same_address_at_another_subject_is_another_person(provider: OpenIdProvider) -> None:
    sso_accounts.sign_in(VERA)
    with pytest.raises(AccessRefused, match="already an account"):
        sso_accounts.sign_in(VERA | {"sub": "vera-2"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"is_active": False}, "is not active"),
        ({"is_staff": False}, "is not active"),
        ({"is_superuser": True}, "superuser"),
    ],
)
def test_the_back_office_can_shut_a_person_out(
    provider: OpenIdProvider, change: dict[str, bool], text: str
) -> None:
    sso_accounts.sign_in(VERA)
    User.objects.update(**change)
    with pytest.raises(AccessRefused, match=text):
        sso_accounts.sign_in(VERA | {"groups": ["pay-finance"]})
    assert User.objects.get().groups.get().name == "Viewer"


def test_a_person_links_their_own_account_with_a_code(provider: OpenIdProvider) -> None:
    own = member("ann", "Viewer", password=PASSWORD)
    register_authenticator(own)
    browser = new_browser()
    browser.post(LOGIN, {"username": "ann", "password": PASSWORD, "otp_token": compute_fresh_code_of(own)})
    assert browser.post(f"{START}link/", {"token": "000000"}).status_code == 302
    page = browser.post(f"{START}link/", {"token": compute_fresh_code_of(own)})
    address = page.context["address"]
    assert parse_qs(urlsplit(address).query)["prompt"] == ["login"]
    location = provider.approve(address, "vera-1")
    stolen = new_browser()  # the link of one person, opened by another one who is signed in
    stolen.cookies["single_sign_on"] = browser.cookies["single_sign_on"].value
    assert_refused(come_back(stolen, location), stolen, "could not be verified")
    location = provider.approve(address, "vera-1")
    assert come_back(browser, location)["Location"] == "/admin/second-factor/"
    assert SingleSignOnIdentity.objects.get().user == own
    sign_in(provider, other := new_browser())
    assert is_signed_in(other)
    assert "Your account is linked" in browser.get("/admin/second-factor/").content.decode()
    assert User.objects.count() == 1
    accounts_before = list(StaffAction.objects.values_list("action", flat=True))
    assert accounts_before == ["single_sign_on.linked"]
    sso_accounts.unlink(user_id=own.pk, actor="bob", reason="a new account at the provider")
    assert not is_signed_in(other)


def test_unlinking_and_a_link_for_a_password_need_two_people(provider: OpenIdProvider) -> None:
    """A person who did both could sign in as the other person."""
    user = sso_accounts.sign_in(VERA).user
    sso_accounts.unlink(user_id=user.pk, actor="ann", reason="a new account at the provider")
    with pytest.raises(OperationRefused, match="Another person must"):
        accounts.send_password_link(user_id=user.pk, actor="ann", reason="x")
    accounts.send_password_link(user_id=user.pk, actor="bob", reason="x")
    with pytest.raises(OperationRefused, match="Another person must"):
        accounts.reset_second_factor(user_id=user.pk, actor="bob", reason="x")
    SingleSignOnIdentity.objects.create(user=user, name="x", issuer=provider.issuer, subject="vera-2")
    with pytest.raises(OperationRefused, match="Another person must"):
        sso_accounts.unlink(user_id=user.pk, actor="bob", reason="x")
    assert SingleSignOnIdentity.objects.filter(user=user).exists()


def test_break_glass_accounts_alone_use_their_password(provider: OpenIdProvider, settings: Any) -> None:
    settings.STAFF_BREAK_GLASS_ACCOUNTS = ["glass"]
    for name, expected in (("ann", False), ("glass", True)):
        user = member(name, "Viewer", password=PASSWORD)
        register_authenticator(user)
        browser = new_browser()
        answer = browser.post(
            LOGIN, {"username": name, "password": PASSWORD, "otp_token": compute_fresh_code_of(user)}
        )
        assert is_signed_in(browser) is expected
        assert ("single sign-on only" in answer.content.decode()) is not expected


def test_an_account_of_the_provider_cannot_get_a_factor_of_its_own(provider: OpenIdProvider) -> None:
    sign_in(provider, browser := new_browser())
    assert "The provider checks your second factor" in browser.get("/admin/second-factor/").content.decode()
    assert browser.post("/admin/second-factor/begin/").status_code == 302
    assert not Authenticator.objects.exists()


def test_an_account_of_the_provider_takes_part_in_dual_control(
    provider: OpenIdProvider, settings: Any
) -> None:
    settings.APPROVER_AGE_HOURS = 0
    member("ann", "Finance")
    sso_accounts.sign_in(VERA | {"groups": ["pay-finance"]})
    assert find_approver_conflict(approver="vera@example.com", requester="ann") == ""
    settings.APPROVER_AGE_HOURS = 24
    assert "24" in find_approver_conflict(approver="vera@example.com", requester="ann")


def encode(part: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(claims: Claims, _key: RSAKey) -> str:
    return f"{encode({'alg': 'none'})}.{encode(claims)}."


def signed_with_client_secret(claims: Claims, _key: RSAKey) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))


def signed_with_public_key(claims: Claims, key: RSAKey) -> str:
    """The public key is the HMAC secret: this forgery works if the recipient trusts the token's `alg`."""
    signed = ".".join(map(encode, ({"alg": "HS256", "kid": key.thumbprint()}, claims)))
    mac = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


OTHER_KEY: list[RSAKey] = []


def signed_with_another_key(claims: Claims, key: RSAKey) -> str:
    OTHER_KEY[:] = OTHER_KEY or [RSAKey.generate_key(2048)]
    return sign(claims, OTHER_KEY[0], kid=key.thumbprint())


def with_claims(**change: Any) -> Callable[[Claims, RSAKey], str]:
    return lambda claims, key: sign({**claims, **change}, key)


def altered_after_signing(claims: Claims, key: RSAKey) -> str:
    header, _payload, signature = sign(claims, key).split(".")
    return f"{header}.{encode({**claims, 'sub': 'root'})}.{signature}"


FORGERIES: dict[str, Callable[[Claims, RSAKey], str | None]] = {
    "unsigned": unsigned,
    "signed with the client's secret": signed_with_client_secret,
    "signed with the public key": signed_with_public_key,
    "signed with another key": signed_with_another_key,
    "altered after signing": altered_after_signing,
    "of another issuer": with_claims(iss="https://evil.example.com"),
    "for another client": with_claims(aud="another-client"),
    "for two clients": with_claims(aud=["back-office", "another-client"]),
    "issued to another client": with_claims(azp="another-client"),
    "of another sign-in": with_claims(nonce="another-nonce"),
    "expired": with_claims(exp=1),
    "not valid yet": with_claims(nbf=4_000_000_000),
    "issued in the future": with_claims(iat=4_000_000_000),
    "issued yesterday": with_claims(iat="yesterday"),
    "about nobody": with_claims(sub=""),
    "about a number": with_claims(sub=7),
    "about a long text": with_claims(sub="x" * 256),
    "for another access token": with_claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "not a token": lambda _claims, _key: "garbage",
    "three parts of nothing": lambda _claims, _key: "a.b.c",
    **{
        f"without {name}": lambda claims, key, name=name: sign(without(claims, name), key)  # type: ignore[misc]
        for name in ("iss", "aud", "exp", "iat", "nonce", "sub")
    },
}


@dataclass(frozen=True)
class Genuine:
    """The claims that the provider sends, and its key."""

    claims: Claims
    key: RSAKey

    def verify(self, token: str | None, *, checked_since: float | None = None) -> Claims:
        nonce: str = self.claims["nonce"]
        return sso_provider.verify_id_token(
            token or "", nonce=nonce, access_token="an-access-token", checked_since=checked_since
        )

    def verify_with(self, **change: Any) -> Claims:
        return self.verify(sign({**self.claims, **change}, self.key))


@pytest.fixture
def genuine(provider: OpenIdProvider) -> Genuine:
    seen: list[tuple[Claims, RSAKey]] = []

    def keep(claims: Claims, key: RSAKey) -> None:
        seen.append((without(claims, "at_hash"), key))

    provider.alter_token = keep
    assert_refused(sign_in(provider, browser := new_browser()), browser, "could not be verified")
    ((claims, key),) = seen
    return Genuine(claims, key)


def test_a_forged_id_token_is_refused(genuine: Genuine, subtests: pytest.Subtests) -> None:
    """Each forgery is a genuine token of the provider with one change."""
    assert genuine.verify_with()["sub"] == "vera-1", "the unaltered token"
    for name, forge in FORGERIES.items():
        with subtests.test(name), pytest.raises(SignInRefused):
            genuine.verify(forge(genuine.claims, genuine.key))


def test_clocks_may_differ_a_little(genuine: Genuine, settings: Any) -> None:
    now = int(time.time())
    wrong = {"iat": now + 3600, "exp": now - 3600}
    with pytest.raises(SignInRefused):
        genuine.verify_with(**wrong)
    settings.OIDC_CLOCK_SKEW_SECONDS = 7200
    assert genuine.verify_with(**wrong)["sub"] == "vera-1"


def test_the_provider_must_have_checked_the_person_recently(genuine: Genuine) -> None:
    """`auth_time` is a JSON number (OpenID Connect Core 1.0, section 2), so it may have a fraction."""
    now = int(time.time())
    accepted, refused = (now, now + 0.5), (now - 7200, None, "now", True, float("nan"), float("inf"))
    for auth_time in (*accepted, *refused):
        token = sign({**genuine.claims, "auth_time": auth_time}, genuine.key)
        is_refused = is_refused_by(lambda token=token: genuine.verify(token, checked_since=now - 3600))  # type: ignore[misc]
        assert is_refused is (auth_time in refused), auth_time


def is_refused_by(verify: Callable[[], Claims]) -> bool:
    try:
        verify()
    except SignInRefused:
        return True
    return False


def test_another_check_of_the_person_can_be_demanded(provider: OpenIdProvider, settings: Any) -> None:
    browser = new_browser()
    settings.OIDC_MAX_AGE_SECONDS = 3600
    assert parse_qs(urlsplit(begin(browser)).query)["max_age"] == ["3600"]
    address = begin(browser, again="1")
    parameters = parse_qs(urlsplit(address).query)
    assert (parameters["max_age"], parameters["prompt"]) == (["0"], ["login"])
    provider.alter_token = with_claims(auth_time=int(time.time()) - 3600)
    answer = come_back(browser, provider.approve(address, "vera-1"))
    assert_refused(answer, browser, "could not be verified")


def test_the_time_of_the_providers_check_counts_before_sensitive_actions(provider: OpenIdProvider) -> None:
    """`auth_time` is the time of the check; without it, the check does not count. Another check at the provider leads
    back to the action."""
    browser, now = new_browser(), int(time.time())
    assert sign_in(provider, browser).status_code == 302
    for auth_time, checked_at in ((None, 0), (now - 5000, now - 5000)):
        provider.alter_token = with_claims(auth_time=auth_time)
        sign_in(provider, browser)
        assert browser.session[step_up.CHECKED_AT] == checked_at, auth_time
    page = browser.get("/admin/confirm/", {"next": "/admin/queue/"}).content.decode()
    (address,) = re.findall(r'href="(/admin/single-sign-on/[^"]+)"', page)
    provider.alter_token = with_claims(auth_time=now)
    answer = browser.get(unescape(address))
    assert parse_qs(urlsplit(answer["Location"]).query)["prompt"] == ["login"]
    assert come_back(browser, provider.approve(answer["Location"], "vera-1"))["Location"] == "/admin/queue/"
    assert browser.session[step_up.CHECKED_AT] == now


@pytest.fixture
def vera_as_admin(provider: OpenIdProvider, settings: Any) -> Client:
    """Vera's browser. She signed in two hours ago at a provider that supports `max_age`, and has no factor here."""
    settings.STAFF_STEP_UP_SECONDS = 900
    settings.OIDC_CLOCK_SKEW_SECONDS = 60
    settings.OIDC_GROUP_ROLES = {"pay-view": "Admin"}
    provider.follows_max_age = True
    provider.checked_at["vera-1"] = int(time.time()) - 7200
    browser = new_browser()
    assert sign_in(provider, browser).status_code == 302
    assert is_signed_in(browser)
    return browser


def begin_step_up(browser: Client, action: str) -> str:
    """Opens a sensitive action and follows the only link of its page. Returns the address at the provider."""
    answer = browser.get(action)
    assert urlsplit(answer["Location"]).path == "/admin/confirm/"
    page = browser.get(answer["Location"]).content.decode()
    assert 'name="token"' not in page, "an account of the provider has no code"
    (address,) = re.findall(r'href="(/admin/single-sign-on/[^"]+)"', page)
    return browser.get(unescape(address))["Location"]


def test_step_up_of_an_account_that_only_uses_single_sign_on(
    provider: OpenIdProvider, vera_as_admin: Client
) -> None:
    """The session at the provider is two hours old, so the provider checks the person again and reports the time."""
    address = begin_step_up(vera_as_admin, INVITE)
    parameters = parse_qs(urlsplit(address).query)
    assert (parameters["max_age"], parameters["prompt"]) == (["0"], ["login"])
    answer = come_back(vera_as_admin, provider.approve(address, "vera-1"))
    assert (answer.status_code, answer["Location"]) == (302, INVITE)
    assert vera_as_admin.get(INVITE).status_code == 200


@pytest.mark.parametrize("removed", [("max_age", "prompt"), ("max_age",)])
def test_a_step_up_without_max_age_is_refused(
    provider: OpenIdProvider, vera_as_admin: Client, removed: tuple[str, ...]
) -> None:
    """The request passes through the browser, where `max_age` can be removed. Then the provider sends no `auth_time`,
    even if `prompt=login` stays and it checks the person."""
    parts = urlsplit(begin_step_up(vera_as_admin, INVITE))
    query = {name: values for name, values in parse_qs(parts.query).items() if name not in removed}
    address = parts._replace(query=urlencode(query, doseq=True)).geturl()
    answer = come_back(vera_as_admin, provider.approve(address, "vera-1"))
    assert answer.status_code == 403
    assert "could not be verified" in read_refusal(answer)
    assert urlsplit(vera_as_admin.get(INVITE)["Location"]).path == "/admin/confirm/"


def test_a_provider_that_does_not_check_again_is_refused(
    provider: OpenIdProvider, vera_as_admin: Client
) -> None:
    provider.alter_token = with_claims(auth_time=int(time.time()) - 7200)
    address = begin_step_up(vera_as_admin, INVITE)
    assert come_back(vera_as_admin, provider.approve(address, "vera-1")).status_code == 403
    assert urlsplit(vera_as_admin.get(INVITE)["Location"]).path == "/admin/confirm/"


def test_a_person_may_take_their_time_at_the_provider(
    provider: OpenIdProvider, vera_as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of the provider after the check, such as a consent, take longer than the allowed clock difference."""
    address = begin_step_up(vera_as_admin, INVITE)
    provider.alter_token = with_claims(exp=int(time.time()) + 7200)
    back = provider.approve(address, "vera-1")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 200)
    assert come_back(vera_as_admin, back)["Location"] == INVITE


def test_an_answer_is_accepted_once_and_only_in_its_browser(provider: OpenIdProvider) -> None:
    browser, victim = new_browser(), new_browser()
    location = provider.approve(begin(browser), "vera-1")
    cookie = browser.cookies["single_sign_on"].value
    begin(victim)
    for other in (new_browser(), victim):  # without a cookie, and with that of another sign-in
        assert_refused(come_back(other, location), other, "could not be verified")
    assert come_back(browser, location).status_code == 302
    thief = new_browser()
    for sent in (cookie, cookie[:-4] + "AAAA", "garbage"):
        thief.cookies["single_sign_on"] = sent
        assert_refused(come_back(thief, location), thief, "could not be verified")


def test_a_code_of_another_sign_in_is_refused(provider: OpenIdProvider) -> None:
    """The victim's sign-in gets the attacker's code: `state` is right, and PKCE fails."""
    victim, attacker = new_browser(), new_browser()
    state = parse_qs(urlsplit(begin(victim)).query)["state"][0]
    attackers = parse_qs(urlsplit(provider.approve(begin(attacker), "vera-1")).query)["code"][0]
    answer = victim.get(CALLBACK, {"state": state, "code": attackers})
    assert_refused(answer, victim, "could not be verified")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"error": "access_denied", "error_description": "<script>"}, "did not sign you in"),
        ({}, "did not sign you in"),
        ({"code": "x" * 5000}, "did not sign you in"),
        ({"code": "unknown"}, "could not be verified"),
        ({"code": "unknown", "iss": "https://evil.example.com"}, "could not be verified"),
    ],
)
def test_an_error_of_the_provider_is_shown_on_a_page(
    provider: OpenIdProvider, query: dict[str, str], text: str
) -> None:
    browser = new_browser()
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get(f"{CALLBACK}?{urlencode({'state': state, **query})}")
    assert_refused(answer, browser, text)
    assert "<script>" not in answer.content.decode()


@pytest.mark.parametrize(
    "address", ["https://evil.example.com/", "//evil.example.com", "javascript:alert(1)", "foo"]
)
def test_a_sign_in_never_redirects_to_another_host(provider: OpenIdProvider, address: str) -> None:
    assert sign_in(provider, new_browser(), next=address)["Location"] == "/admin/"


def test_a_sign_in_gets_a_new_session(provider: OpenIdProvider) -> None:
    browser = new_browser()
    browser.get(LOGIN)
    browser.cookies["sessionid"] = "chosen-by-an-attacker-0123456789"
    sign_in(provider, browser)
    assert is_signed_in(browser)
    assert browser.cookies["sessionid"].value != "chosen-by-an-attacker-0123456789"


def test_an_error_page_is_shown_while_the_provider_is_down(provider: OpenIdProvider, settings: Any) -> None:
    browser = new_browser()
    location = provider.approve(begin(browser), "vera-1")
    sso_metadata.forget_metadata()
    provider.answers_with = 503
    assert_refused(come_back(browser, location), browser, "does not answer", 503)
    sso_metadata.forget_metadata()
    assert_refused(browser.get(START), browser, "does not answer", 503)
    settings.OIDC_ISSUER = "http://localhost:1"
    assert_refused(browser.get(START), browser, "does not answer", 503)
    assert browser.get(LOGIN).status_code == 200


def test_a_failed_read_of_the_provider_is_remembered(
    provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began)
    provider.answers_with = 503
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            ask_for_authorization()
    assert provider.paths.count(DISCOVERY) == 1
    provider.answers_with = None
    monkeypatch.setattr(time, "time", lambda: began + sso_metadata.FAILURE_SECONDS)
    ask_for_authorization()
    assert provider.paths.count(DISCOVERY) == 2


def ask_for_authorization() -> None:
    sso_provider.build_authorization_request(redirect_uri="https://x", must_reauthenticate=False)


def redeem() -> None:
    sso_provider.redeem_code(
        code="x", redirect_uri="https://x", nonce="x", code_verifier="x", reauthenticated_since=None
    )


def test_one_thread_at_a_time_reads_the_discovery_document(provider: OpenIdProvider) -> None:
    provider.hold(DISCOVERY)
    with ThreadPoolExecutor(1) as others:
        first = others.submit(ask_for_authorization)
        assert provider.is_held.wait(PATIENCE_SECONDS)
        try:
            with pytest.raises(ProviderUnavailable, match="another sign-in"):
                ask_for_authorization()
        finally:
            provider.release()
        first.result(PATIENCE_SECONDS)
    ask_for_authorization()
    assert provider.paths.count(DISCOVERY) == 1


def test_few_sign_ins_wait_for_a_provider_that_hangs(
    provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sso_provider, "_calls", threading.BoundedSemaphore(1))
    ask_for_authorization()
    provider.hold(TOKEN)
    with ThreadPoolExecutor(1) as others:
        first = others.submit(redeem)
        assert provider.is_held.wait(PATIENCE_SECONDS)
        try:
            with pytest.raises(ProviderUnavailable, match="sign-ins wait"):
                redeem()
        finally:
            provider.release()
        with pytest.raises(SignInRefused):
            first.result(PATIENCE_SECONDS)
    with pytest.raises(SignInRefused):  # the place is free again
        redeem()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example.com"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
def test_a_discovery_document_of_somebody_else_is_refused(provider: OpenIdProvider, change: Claims) -> None:
    provider.alter_metadata = lambda document: document.update(change)
    sso_metadata.forget_metadata()
    browser = new_browser()
    assert_refused(browser.get(START), browser, "does not answer", 503)


def test_signing_out_ends_the_session_at_the_provider_too(provider: OpenIdProvider) -> None:
    sign_in(provider, browser := new_browser())
    page = browser.post("/admin/logout/")
    parameters = parse_qs(urlsplit(page.context["address"]).query)
    assert page.context["address"].startswith(f"{provider.issuer}/oauth2/end_session?")
    assert parameters["post_logout_redirect_uri"] == [f"http://localhost:40003{LOGIN}"]
    assert len(parameters["id_token_hint"][0].split(".")) == 3
    assert not is_signed_in(browser)
    sign_in(provider, browser)
    sso_metadata.forget_metadata()
    provider.answers_with = 503
    assert browser.post("/admin/logout/").status_code == 200
    assert not is_signed_in(browser)


def test_without_a_provider_there_are_no_pages(provider: OpenIdProvider, settings: Any) -> None:
    settings.OIDC_ISSUER = ""
    browser = new_browser()
    assert [browser.get(each).status_code for each in (START, CALLBACK)] == [404, 404]
    assert "single-sign-on" not in browser.get(LOGIN).content.decode()


def test_a_group_is_mapped_to_a_role_that_exists(settings: Any) -> None:
    settings.OIDC_GROUP_ROLES = {"admins": "superuser"}
    assert "access.E002" in {message.id for message in run_checks(tags=["security"])}

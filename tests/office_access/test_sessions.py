"""Open sessions of staff: listed, ended one by one or all together, and ended by changes of access."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from audit.models import StaffAction
from staff import accounts, sessions
from staff.models import StaffSession
from staff.roles import Role
from staff.session_store import hash_session_key
from tests.office_access.conftest import PASSWORD, member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

PAGE, END, PAYMENTS = "/admin/sessions/", "/admin/sessions/end/", "/admin/gateway/payment/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def vera(transactional_db: None) -> User:
    return member("vera", "Viewer", "Support")


def is_signed_in(browser: Client) -> bool:
    return browser.get(PAYMENTS).status_code == 200


def session_of(browser: Client) -> StaffSession:
    return StaffSession.objects.get(session_key=hash_session_key(browser.cookies["sessionid"].value))


def sign_in_with_password(user: User, settings: Any) -> Client:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
    user.set_password(PASSWORD)
    user.save()
    browser = Client(headers={"accept-language": "en", "user-agent": FIREFOX})
    browser.post("/admin/login/", {"username": user.username, "password": PASSWORD})
    return browser


def test_a_person_sees_their_sessions(vera: User, settings: Any) -> None:
    browser = sign_in_with_password(vera, settings)
    signed_in(vera)
    signed_in(member("ann", "Viewer"))
    text = browser.get(PAGE).content.decode()
    table = text[text.index('id="sessions"') :]
    assert "Firefox on Windows" in table
    assert "127.0.0.1" in table
    assert table.count("This session") == 1
    assert table.count('name="session"') == 1  # only the other session can be ended
    row = session_of(browser)
    assert browser.cookies["sessionid"].value not in text, "the key would let the reader use the session"
    assert row.session_key not in text
    assert (row.user, row.address) == (vera, "127.0.0.1")


def test_a_copy_of_the_database_opens_no_session(vera: User) -> None:
    browser = signed_in(vera)
    key = browser.cookies["sessionid"].value
    assert is_signed_in(browser)
    stored = StaffSession.objects.values_list("session_key", "session_data").get()
    assert not any(key in text for text in stored)
    thief = Client()
    thief.cookies["sessionid"] = stored[0]
    assert not is_signed_in(thief)
    browser.post("/admin/logout/")
    assert not StaffSession.objects.filter(user=vera).exists()
    browser.cookies["sessionid"] = key
    assert not is_signed_in(browser)


def test_a_person_ends_one_or_all_other_sessions(vera: User) -> None:
    here, phone, laptop, other = (signed_in(vera) for _ in range(4))
    here.post(END, {"session": str(session_of(phone).public_id)})
    assert [is_signed_in(each) for each in (here, phone, laptop, other)] == [True, False, True, True]
    here.post(END)
    assert [is_signed_in(each) for each in (here, laptop, other)] == [True, False, False]
    assert list(StaffAction.objects.order_by("id").values_list("action", "actor", "object_id")) == [
        ("session.ended", "vera", "vera"),
        ("session.all_ended", "vera", "vera"),
    ]
    for wrong in ("garbage", "6f6f6f6f-0000-4000-8000-000000000000"):
        assert "has ended already" in here.post(END, {"session": wrong}, follow=True).content.decode()


def test_nobody_ends_sessions_of_others_on_the_own_page(vera: User) -> None:
    ann, here = signed_in(member("ann", "Viewer")), signed_in(vera)
    here.post(END, {"session": str(session_of(ann).public_id)})
    here.post(END)
    assert is_signed_in(ann)


def test_an_administrator_ends_sessions_of_others_with_a_reason(vera: User) -> None:
    admin, first, second = signed_in(member("ann", "Admin")), signed_in(vera), signed_in(vera)
    page = reverse("staff_sessions_of", args=[vera.pk])
    end = reverse("staff_sessions_of_end", args=[vera.pk])
    assert page in admin.get(f"/admin/auth/user/{vera.pk}/change/").content.decode()
    assert admin.get(page).content.decode().count('name="session"') == 2
    admin.post(end)
    assert is_signed_in(first), "without a reason the session does not end"
    admin.post(end, {"reason": "lost phone", "session": str(session_of(first).public_id)})
    assert [is_signed_in(each) for each in (first, second)] == [False, True]
    admin.post(end, {"reason": "left"})
    assert [is_signed_in(each) for each in (second, admin)] == [False, True]
    assert list(StaffAction.objects.order_by("id").values_list("action", "actor", "reason")) == [
        ("session.ended", "ann", "lost phone"),
        ("session.all_ended", "ann", "left"),
    ]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("a\0b", "Reason: Null characters are not allowed."),
        ("x" * 501, "Reason: Ensure this value has at most 500"),
    ],
)
def test_a_reason_that_cannot_be_stored_is_refused(vera: User, reason: str, error: str) -> None:
    admin, browser = signed_in(member("ann", "Admin")), signed_in(vera)
    end = reverse("staff_sessions_of_end", args=[vera.pk])
    assert error in admin.post(end, {"reason": reason}, follow=True).content.decode()
    assert is_signed_in(browser)
    assert not StaffAction.objects.exists()


def test_only_administrators_see_sessions_of_others(vera: User) -> None:
    ann = member("ann", "Finance")
    for method in ("get", "post"):
        for name in ("staff_sessions_of", "staff_sessions_of_end"):
            answer = getattr(signed_in(vera), method)(reverse(name, args=[ann.pk]), {"reason": "x"})
            assert answer.status_code in (403, 405)
    admin = signed_in(member("bob", "Admin"))
    root = User.objects.create_superuser("root")
    browser = signed_in(root)
    admin.post(reverse("staff_sessions_of_end", args=[root.pk]), {"reason": "x"})
    assert is_signed_in(browser)
    assert admin.get(reverse("staff_sessions_of", args=[0])).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda user_id: accounts.set_active(user_id=user_id, active=False, actor="ann", reason="x"),
        lambda user_id: accounts.set_roles(user_id=user_id, roles=[Role.VIEWER], actor="ann", reason="x"),
        lambda user_id: accounts.send_password_link(user_id=user_id, actor="ann", reason="x"),
    ],
)
def test_a_change_of_access_ends_the_sessions(vera: User, change: Callable[[int], object]) -> None:
    browser = signed_in(vera)
    change(vera.pk)
    assert not StaffSession.objects.filter(user=vera).exists()
    assert not is_signed_in(browser)


def test_a_further_role_ends_no_session(vera: User) -> None:
    browser = signed_in(vera)
    roles = [Role.VIEWER, Role.SUPPORT, Role.FINANCE]
    accounts.set_roles(user_id=vera.pk, roles=roles, actor="ann", reason="x")
    assert is_signed_in(browser)


def test_a_new_password_ends_the_other_sessions(vera: User, settings: Any) -> None:
    here = sign_in_with_password(vera, settings)
    other = Client()
    other.post("/admin/login/", {"username": "vera", "password": PASSWORD})
    new = {"new_password1": "another correct horse", "new_password2": "another correct horse"}
    here.post("/admin/password_change/", {"old_password": "wrong", **new})
    assert is_signed_in(other)
    here.post("/admin/password_change/", {"old_password": PASSWORD, **new})
    assert [is_signed_in(each) for each in (here, other)] == [True, False]
    assert StaffSession.objects.filter(user=vera).count() == 1
    assert StaffAction.objects.get().action == "staff.password_set"


def test_a_request_that_is_under_way_does_not_bring_an_ended_session_back(vera: User) -> None:
    browser = signed_in(vera)
    session = browser.session
    session["x"] = 1
    StaffSession.objects.all().delete()
    with pytest.raises(UpdateError):
        session.save()
    assert not StaffSession.objects.exists()


def test_last_seen_is_written_every_few_minutes(vera: User) -> None:
    browser = signed_in(vera)
    before = session_of(browser)
    browser.get(PAGE)
    assert session_of(browser).last_seen_at == before.last_seen_at
    long_ago = before.last_seen_at - timedelta(hours=1)
    StaffSession.objects.update(last_seen_at=long_ago, started_at=F("started_at") - timedelta(hours=1))
    browser.get(PAGE)
    after = session_of(browser)
    assert after.last_seen_at > long_ago
    assert after.address == "127.0.0.1"


def test_a_session_keeps_its_beginning_when_it_is_stored_again(vera: User) -> None:
    browser = signed_in(vera)
    before = session_of(browser)
    session = browser.session
    session["x"] = 1
    session.save()
    after = session_of(browser)
    assert (after.public_id, after.started_at) == (before.public_id, before.started_at)
    assert after.get_decoded()["x"] == 1


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/19.0 Safari/605.1", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604", "Safari on iOS"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.0", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_the_name_of_a_browser(user_agent: str, words: str) -> None:
    with override("en"):
        assert sessions.describe_browser(user_agent) == words

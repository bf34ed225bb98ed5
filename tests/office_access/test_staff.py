"""An Admin manages accounts of staff, and cannot sign in as somebody else."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from staff import accounts, second_factor
from staff.models import Authenticator
from staff.roles import Role
from tests.office_access.conftest import PASSWORD, member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fast_passwords(settings) -> None:  # type: ignore[no-untyped-def]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def admin(_fast_passwords: None) -> Client:
    return signed_in(member("admin", "Admin"))


def page(name: str, user: User | None = None) -> str:
    return reverse(f"admin:auth_user_{name}", args=[user.pk] if user else [])


def link_on(answer) -> str:  # type: ignore[no-untyped-def]
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    found = re.search(r"http://[^<]+(/admin/invitation/[^<]+)<", unescape(answer.content.decode()))
    assert found, answer.content.decode()
    return found[1]


def choose_password(link: str, password: str) -> int:
    guest = Client()
    form = guest.get(link)["Location"]
    return guest.post(form, {"new_password1": password, "new_password2": password}).status_code


def test_an_invited_member_sets_a_password_and_has_the_roles(admin: Client) -> None:
    given = {
        "username": "nina",
        "email": "Nina@example.com",
        "roles": ["Support", "Finance"],
        "reason": "new",
    }
    link = link_on(admin.post(page("invite"), given))
    assert choose_password(link, PASSWORD) == 302
    nina = User.objects.get(username="nina")
    assert nina.is_staff
    assert not nina.is_superuser
    assert sorted(nina.groups.values_list("name", flat=True)) == ["Finance", "Support"]
    client = Client()
    assert client.post("/admin/login/", {"username": "nina", "password": PASSWORD}).status_code == 302
    assert Client().get(link).status_code == 200, "the link is used up and shows no form"
    invited, chosen = StaffAction.objects.order_by("id")
    assert (invited.actor, invited.action, invited.after["roles"]) == (
        "admin",
        "staff.invited",
        ["Finance", "Support"],
    )
    assert (chosen.actor, chosen.action) == ("nina", "staff.password_set")
    assert link.split("/")[-2] not in str(list(StaffAction.objects.values()))


def test_a_user_name_is_unique(admin: Client) -> None:
    member("nina")
    answer = admin.post(page("invite"), {"username": "nina", "email": "n@example.com", "reason": "x"})
    assert answer.status_code == 409
    assert "An account with this user name exists already." in answer.content.decode()


def test_a_weak_password_is_refused(admin: Client) -> None:
    link = link_on(admin.post(page("invite"), {"username": "nina", "email": "n@example.com", "reason": "x"}))
    assert choose_password(link, "password1234") == 200
    assert not User.objects.get(username="nina").has_usable_password()


def test_deactivating_ends_every_session_at_once(admin: Client) -> None:
    vera = member("vera", "Viewer")
    session = signed_in(vera)
    assert session.get("/admin/").status_code == 200
    assert admin.post(page("deactivate", vera), {"reason": "left"}).status_code == 302
    assert "/login/" in session.get("/admin/")["Location"]
    assert admin.post(page("reactivate", vera), {"reason": "back"}).status_code == 302


def test_new_roles_apply_from_the_next_request(admin: Client) -> None:
    vera = member("vera", "Finance")
    session = signed_in(vera)
    assert session.get("/admin/exports/export/").status_code == 200
    assert admin.post(page("roles", vera), {"roles": ["Viewer"], "reason": "moved"}).status_code == 302
    assert session.get("/admin/exports/export/")["Location"].startswith("/admin/login/"), (
        "the person lost a role"
    )
    assert signed_in(vera).get("/admin/exports/export/").status_code == 403
    done = StaffAction.objects.get()
    assert (done.before, done.after) == ({"roles": ["Finance"]}, {"roles": ["Viewer"]})


@pytest.mark.parametrize("name", ["roles", "deactivate", "send_link", "reset_second_factor"])
def test_own_account_and_superusers_cannot_be_changed(admin: Client, name: str) -> None:
    me, above = User.objects.get(username="admin"), User.objects.create_superuser("root")
    for user in (me, above):
        before = User.objects.filter(pk=user.pk).values().get()
        assert admin.post(page(name, user), {"reason": "x", "roles": ["Admin"]}).status_code == 409
        assert User.objects.filter(pk=user.pk).values().get() == before
    assert not StaffAction.objects.exists()


def test_one_person_cannot_reset_both_credentials_of_another(admin: Client) -> None:
    """Password and second factor cannot both be reset by one person."""
    vera = member("vera", "Finance", password=PASSWORD)
    Authenticator.create_unconfirmed(vera.pk).save()
    Authenticator.objects.update(confirmed=True)
    link_on(admin.post(page("send_link", vera), {"reason": "forgotten"}))
    refused = admin.post(page("reset_second_factor", vera), {"reason": "and the phone"})
    assert refused.status_code == 409
    assert "Another person must change this one" in unescape(refused.content.decode())
    assert second_factor.is_enrolled(vera)
    other = signed_in(member("bob", "Admin"))
    assert other.post(page("reset_second_factor", vera), {"reason": "phone is lost"}).status_code == 302
    assert other.post(page("send_link", vera), {"reason": "and now this"}).status_code == 409


def test_after_a_sign_in_the_other_credential_can_be_reset() -> None:
    vera = member("vera", "Finance", password=PASSWORD)
    invitation = accounts.send_password_link(user_id=vera.pk, actor="admin", reason="forgotten")
    assert choose_password("/admin/" + invitation.link.partition("/admin/")[2], PASSWORD) == 302
    Client().post("/admin/login/", {"username": "vera", "password": PASSWORD})
    Authenticator.create_unconfirmed(vera.pk).save()
    Authenticator.objects.update(confirmed=True)
    accounts.reset_second_factor(user_id=vera.pk, actor="admin", reason="phone is lost")
    assert not second_factor.is_enrolled(vera)


def test_there_is_no_page_that_sets_a_password_or_a_permission(admin: Client) -> None:
    vera = member("vera", "Viewer")
    root = signed_in(User.objects.create_superuser("root"))
    for session in (admin, root):
        assert session.get(f"/admin/auth/user/{vera.pk}/password/").status_code in (302, 404)
        for model in ("user", "group"):
            assert session.get(f"/admin/auth/{model}/add/").status_code == 403
        fields = {"is_superuser": "on", "user_permissions": "1"}
        assert session.post(f"/admin/auth/user/{vera.pk}/change/", fields).status_code == 403
    assert not User.objects.get(username="vera").user_permissions.exists()


def test_every_role_has_a_description(admin: Client) -> None:
    html = unescape(admin.get("/admin/auth/group/").content.decode())
    for role in Role:
        assert f"{role.value}: " in html

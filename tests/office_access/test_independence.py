"""One person cannot approve their own request with a second account (ADR 23)."""

import datetime as dt
import re
from collections.abc import Iterator
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.utils import timezone, translation

from audit.models import StaffAction
from backoffice.approvals.approvers import find_approver_conflict
from common.errors import OperationRefused
from staff import accounts, second_factor
from staff.models import Authenticator
from staff.roles import Role
from tests.office_access.conftest import member

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def company(settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMAIL_URL = "smtp://mail.example.com"
    settings.STAFF_EMAIL_DOMAINS = ["example.com"]
    settings.APPROVER_AGE_HOURS = 24
    settings.STAFF_OTP_REQUIRED = True


def settled(name: str, email: str, role: str = "Finance") -> User:
    """Creates an account that is 100 days old and has a second factor."""
    user = member(name, role)
    User.objects.filter(pk=user.pk).update(email=email, date_joined=timezone.now() - dt.timedelta(days=100))
    Authenticator(user=user, name="authenticator", confirmed=True, sealed_key="x").save()
    return User.objects.get(pk=user.pk)


def made_long_ago() -> None:
    """Moves all accounts and audit entries into the past."""
    past = timezone.now() - dt.timedelta(days=3)
    User.objects.update(date_joined=past)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE staff_actions SET created_at = %s", [past])
        cursor.execute("SET LOCAL session_replication_role = origin")


def enrolled(user: User) -> User:
    Authenticator(user=user, name="authenticator", confirmed=True, sealed_key="x").save()
    return user


def refusal(approver: User | str, requester: User | str) -> str:
    return find_approver_conflict(approver=str(approver), requester=str(requester))


def test_two_colleagues_can_approve_for_each_other() -> None:
    ann, ben = settled("ann", "ann@example.com"), settled("ben", "ben@example.com")
    assert refusal(ben, ann) == ""
    assert refusal(ann, ann) != ""


def test_an_account_whose_link_was_shown_cannot_approve() -> None:
    """An Admin invites a second account, opens the link and waits. Neither account may approve for the other."""
    ann = settled("ann", "ann@example.com", "Admin")
    twin = accounts.invite_member(
        username="twin", email="twin@elsewhere.net", roles=[Role.FINANCE], actor="ann", reason="x"
    )
    assert "/invitation/" in twin.link
    enrolled(twin.user)
    made_long_ago()
    assert "was shown to ann" in refusal("twin", ann)
    assert "was shown to ann" in refusal(ann, "twin")
    other = accounts.invite_member(
        username="other", email="o@elsewhere.net", roles=[Role.FINANCE], actor="twin", reason="x"
    )
    enrolled(other.user)
    made_long_ago()
    assert "was shown" in refusal("other", ann)
    assert "was shown" in refusal("other", "twin")


def test_a_link_sent_to_a_company_address_counts_as_private() -> None:
    ann = settled("ann", "ann@example.com", "Admin")
    cara = accounts.invite_member(
        username="cara", email="cara@example.com", roles=[Role.FINANCE], actor="ann", reason="new"
    )
    assert cara.link == ""
    (sent,) = mail.outbox
    assert sent.to == ["cara@example.com"]
    assert re.search(r"/admin/invitation/\S+", sent.body)
    assert StaffAction.objects.get(action="staff.invited").after["link"] == "sent"
    assert "second factor" in refusal("cara", ann)
    enrolled(cara.user)
    assert "24 hours" in refusal("cara", ann)
    made_long_ago()
    assert refusal("cara", ann) == ""


@pytest.mark.parametrize("email", ["ann+2@example.com", "ANN@example.com"])
def test_a_mailbox_is_one_account(email: str) -> None:
    settled("ann", "ann@example.com", "Admin")
    with pytest.raises(OperationRefused, match="mailbox"):
        accounts.invite_member(username="twin", email=email, roles=[Role.FINANCE], actor="ann", reason="x")
    twin = settled("twin", email)
    assert "share a mailbox" in refusal(twin, "ann")


def test_an_inviter_without_an_address_cannot_approve_for_the_invited() -> None:
    """The two accounts may belong to the same mailbox."""
    root = settled("root", "", "Admin")
    twin = accounts.invite_member(
        username="twin", email="root@example.com", roles=[Role.FINANCE], actor="root", reason="x"
    )
    enrolled(twin.user)
    made_long_ago()
    assert "invited the other" in refusal("twin", root)
    assert "invited the other" in refusal(root, "twin")


@pytest.mark.parametrize("change", ["link", "roles", "reactivated", "factor"])
def test_an_account_waits_after_its_access_was_changed(change: str) -> None:
    ann, ben = settled("ann", "ann@example.com", "Admin"), settled("ben", "ben@example.com")
    request = {"user_id": ben.pk, "actor": "ann", "reason": "x"}
    if change == "link":
        assert accounts.send_password_link(**request).link == ""
    elif change == "roles":
        accounts.set_roles(**request, roles=[Role.OPERATOR])
    elif change == "reactivated":
        accounts.set_active(**request, active=False)
        assert "active staff account" in refusal(ben, ann)
        accounts.set_active(**request, active=True)
    else:
        accounts.reset_second_factor(**request)
        assert not second_factor.is_enrolled(ben)
        enrolled(ben)
    assert "hours" in refusal(ben, ann)
    made_long_ago()
    assert refusal(ben, ann) == ""


def test_a_new_sent_link_replaces_a_shown_one() -> None:
    ann = settled("ann", "ann@example.com", "Admin")
    StaffAction.objects.create(
        actor="ann",
        action="staff.invited",
        object_type="staff",
        object_id="ben",
        reason="",
        after={"link": "shown"},
    )
    ben = settled("ben", "ben@example.com")
    made_long_ago()
    assert "was shown" in refusal(ben, ann)
    accounts.send_password_link(user_id=ben.pk, actor="ann", reason="by mail")
    made_long_ago()
    assert refusal(ben, ann) == ""


def test_the_first_accounts_are_made_in_the_terminal_and_recorded() -> None:
    out = StringIO()
    call_command(
        "staff",
        "invite",
        "ann",
        "--email",
        "ann@home.net",
        "--role",
        "Admin",
        "--reason",
        "first",
        stdout=out,
    )
    assert "/admin/invitation/" in out.getvalue()
    invited = StaffAction.objects.get()
    assert invited.actor.startswith("terminal:")
    assert invited.after["link"] == "terminal"
    enrolled(User.objects.get(username="ann"))
    ben = settled("ben", "ben@example.com")
    made_long_ago()
    assert refusal("ann", ben) == ""

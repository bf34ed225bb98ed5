"""Members of staff with each role, and clients that are signed in as them."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from tests.ops.conftest import World, acme, sabotage, value, world, world_snapshot  # noqa: F401
from tests.support.fixtures import _in_a_hurry, client  # noqa: F401

PASSWORD = "correct horse battery"


def member(name: str, *roles: str, password: str | None = None) -> User:
    """Creates an account. It gets a password only if the test needs one: hashing takes a third of a second."""
    user = User.objects.create_user(name, password=password, is_staff=True)
    groups = list(Group.objects.filter(name__in=roles))
    assert len(groups) == len(roles), "migrate creates the groups"
    user.groups.set(groups)
    return user


def signed_in(user: User) -> Client:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(user)
    return browser


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the test. Only the test moves it, so that no code of an authenticator app expires."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


@pytest.fixture
def _second_factor_required(settings: Any, clock: list[float]) -> None:
    settings.STAFF_OTP_REQUIRED = True
    settings.STAFF_OTP_THROTTLE_SECONDS = 0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast


@pytest.fixture
def as_(transactional_db: None) -> Callable[[str], Client]:
    """Signs in as a member of staff with this role. The user name is the role in lower case."""

    def browser(role: str) -> Client:
        name = role.lower()
        user = User.objects.filter(username=name).first() or member(name, role)
        return signed_in(user)

    return browser

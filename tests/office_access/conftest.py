"""Members of staff with each role, and clients that are signed in as them."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from tests.ops.conftest import World, acme, sabotage, value, world, world_snapshot  # noqa: F401
from tests.support.fixtures import _in_a_hurry, client  # noqa: F401

PASSWORD = "correct horse battery"


def member(name: str, *roles: str, password: str | None = None) -> User:
    """Creates the account without a password where none is needed: hashing one takes a third of a second."""
    user = User.objects.create_user(name, password=password, is_staff=True)
    groups = list(Group.objects.filter(name__in=roles))
    assert len(groups) == len(roles), "the groups are there after every migrate"
    user.groups.set(groups)
    return user


def signed_in(user: User) -> Client:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(user)
    return browser


@pytest.fixture
def as_(transactional_db: None) -> Callable[[str], Client]:
    """Signs in as a member of staff with this role. The user name is the role in lower case."""

    def browser(role: str) -> Client:
        name = role.lower()
        user = User.objects.filter(username=name).first() or member(name, role)
        return signed_in(user)

    return browser

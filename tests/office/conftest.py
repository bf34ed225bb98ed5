"""Staff with chosen permissions, who use the back office through Django's test client or a real browser."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from tests.support.desk import Desk
from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    acme,
    client,
    other_client,
)


def staff(name: str, *permissions: str) -> User:
    """Creates an account. `permissions` are written `app.codename`; `view_*` stands for every view permission."""
    user = User.objects.create_user(name, is_staff=True)
    for permission in permissions:
        if permission == "view_*":
            user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
            continue
        app, codename = permission.split(".")
        found = Permission.objects.filter(content_type__app_label=app, codename=codename).first()
        if found is None:
            kind, _created = ContentType.objects.get_or_create(app_label=app, model="verb")
            found = Permission.objects.create(content_type=kind, codename=codename, name=codename)
        user.user_permissions.add(found)
    return user


@pytest.fixture
def sign_in(transactional_db: None) -> Callable[..., Client]:
    def enter(name: str, *permissions: str, language: str = "en") -> Client:
        browser = Client(headers={"accept-language": language})
        browser.force_login(staff(name, *permissions))
        return browser

    return enter


@pytest.fixture
def visit(chromium, live_server, transactional_db: None) -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def enter(user: User, language: str = "en", theme: str = "light") -> Desk:
        visitor = Desk(chromium, live_server.url, user, language=language, theme=theme)
        opened.append(visitor)
        return visitor

    yield enter
    for visitor in opened:
        visitor.context.close()
    assert [error for visitor in opened for error in visitor.errors] == []

"""A back office with something in it, staff who may do this or that, and a real browser in front of it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    acme,
    client,
    other_client,
)

# Where pictures of the pages go, for who wants to look at them.
PICTURES = os.environ.get("OFFICE_PICTURES", "")


def staff(name: str, *permissions: str) -> User:
    """`permissions` are written `app.codename`, or `view_*` for looking at everything."""
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


class Visitor:
    """A member of staff at a screen."""

    def __init__(self, chromium, base_url: str, user: User, *, language: str, theme: str) -> None:
        entrance = Client()
        entrance.force_login(user)
        self.language, self.theme, self.base_url = language, theme, base_url
        self.context = chromium.new_context(
            base_url=base_url,
            locale={"en": "en-US", "zh-hans": "zh-CN"}[language],
            color_scheme=theme,
            viewport={"width": 1440, "height": 900},
        )
        self.context.add_cookies(
            [{"name": "sessionid", "value": entrance.cookies["sessionid"].value, "url": base_url}]
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def go(self, path: str):
        answer = self.page.goto(path, wait_until="load")
        assert answer.ok, (path, answer.status)
        return self.page

    def picture(self, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{PICTURES}/{name}-{self.language}-{self.theme}.png", full_page=True)


@pytest.fixture
def visit(chromium, live_server, transactional_db: None) -> Iterator[Callable[..., Visitor]]:
    opened: list[Visitor] = []

    def enter(user: User, language: str = "en", theme: str = "light") -> Visitor:
        visitor = Visitor(chromium, live_server.url, user, language=language, theme=theme)
        opened.append(visitor)
        return visitor

    yield enter
    for visitor in opened:
        visitor.context.close()

"""No parameter makes a page of the back office answer 500, and invisible characters are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import reverse

from tests.office_access.conftest import PASSWORD
from tests.ops.conftest import World
from tests.support import shop
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

STRANGE = ("%00", "%ED%A0%80", "-1", "9" * 40, "NaN", "%F0%9F%92%A9", "'", "2026-13-45", "__", "0001-01-01")
COMMON = (
    "q",
    "o",
    "p",
    "e",
    "_popup",
    "_to_field",
    "_changelist_filters",
    "older",
    "newer",
    "all",
    "_facets",
)


@pytest.fixture
def root(transactional_db: None) -> Client:
    browser = Client(raise_request_exception=False, headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@pytest.fixture
def rows(root: Client, world: World, client: SignedClient) -> World:
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()
    return world


@contextmanager
def unrendered() -> Iterator[None]:
    """Skips only the rendering of Django's templates, which takes four fifths of the time."""
    with patch.object(SimpleTemplateResponse, "rendered_content", ""):
        yield


def status_of(browser: Client, address: str, value: str) -> int:
    """Renders the page only for a NUL, which PostgreSQL refuses."""
    if value == STRANGE[0]:
        return browser.get(address).status_code
    with unrendered():
        return browser.get(address).status_code


def parameters_of(browser: Client, address: str) -> Iterator[str]:
    yield from COMMON
    for spec in browser.get(address).context["cl"].filter_specs:
        yield from (name for name in spec.expected_parameters() if name)


def test_no_list_fails_for_a_strange_parameter(rows: World, root: Client, subtests: pytest.Subtests) -> None:
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        address = reverse(f"{name}_changelist")
        with subtests.test(model._meta.label):
            for parameter in parameters_of(root, address):
                if parameter in COMMON[1:]:
                    with unrendered():
                        assert root.get(f"{address}?{parameter}={STRANGE[0]}").status_code < 500, parameter
                    continue
                for value in STRANGE[:4]:
                    assert status_of(root, f"{address}?{parameter}={value}", value) < 500, (parameter, value)
            for page in ("x", "%00", "9" * 40, "_5F00"):
                assert root.get(f"{address}{page}/change/").status_code < 500, page


def test_no_other_page_fails_for_a_strange_parameter(
    rows: World, root: Client, subtests: pytest.Subtests
) -> None:
    for name in (
        "admin:index",
        "admin_find",
        "admin:autocomplete",
        "admin:search",
        "admin:exports_export_new",
    ):
        address = reverse(name)
        with subtests.test(name):
            parameters = ("q", "term", "app_label", "status", "created_from", "merchant", "days", "kind")
            together = "&".join(f"{parameter}={STRANGE[0]}" for parameter in parameters)
            assert root.get(f"{address}?{together}").status_code < 500
            for parameter in parameters:
                with unrendered():
                    for value in STRANGE:
                        answer = root.get(f"{address}?{parameter}={value}")
                        assert answer.status_code < 500, (parameter, value)
                    assert root.post(address, {parameter: "\x00"}).status_code < 500, parameter


def test_sign_in_never_redirects_to_another_host(transactional_db: None, settings) -> None:  # type: ignore[no-untyped-def]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("root", password=PASSWORD)
    for there in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example", ""):
        form = {"username": "root", "password": PASSWORD, "next": there}
        answer = Client().post(f"/admin/login/?next={there}", form)
        assert (answer.status_code, answer["Location"]) == (302, "/admin/"), there


def test_invisible_characters_are_shown(rows: World, root: Client) -> None:
    hiding = ["a\u202eb\x1b[31m", "o\u2066x\x7f"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # payments do not change what they are
        cursor.execute(
            "UPDATE payments SET subject = %s, order_no = %s WHERE payment_no = %s", [*hiding, rows.paid]
        )
    page = root.get(reverse("admin:gateway_payment_changelist")).content.decode()
    assert "o\\u2066x\\u007f" in page
    number = rows.paid
    page = root.get(f"{reverse('admin_find')}?q={number}", follow=True).content.decode()
    assert not set(page) & {"\u202e", "\u2066", "\x1b", "\x7f"}

"""No parameter, form or object id makes a page of the back office answer 500, and invisible characters are shown. The
views are called without middleware and rendering (`direct_calls.py`), which allows ten times as many requests."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode

from staff.roles import Role
from tests.office_access.addresses import Address, list_addresses
from tests.office_access.conftest import PASSWORD, member
from tests.ops.conftest import World
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

STRANGE = (
    "\0",
    "\ud7ff\ufffd\U0010ffff",
    "-1",
    "9" * 40,
    "x" * 10_000,
    "' OR 1=1; DROP TABLE payments --",
    "2026-13-45T99:99",
    "%s {{ 7 }} %(x)s ../..",
    "NaN",
    "a\u202e\x1b[31m\r\nSet-Cookie: x=1",
)
# The parameters of every list; filters have others.
OF_A_LIST = (
    "q",
    "o",
    "p",
    "e",
    "sort",
    "older",
    "newer",
    "all",
    "_popup",
    "_to_field",
    "_facets",
    "_changelist_filters",
)
# The parameters of every page that is not a list.
OF_A_PAGE = (
    "q",
    "term",
    "part",
    "id",
    "range",
    "environment",
    "kind",
    "whose",
    "merchant",
    "next",
    "state",
    "code",
)
# With valid values, the forms of these pages could call a channel or a merchant's server.
CALLING_OUT = ("channel_accounts_", "webhooks_")


@pytest.fixture
def root(transactional_db: None) -> User:
    return with_permissions(User.objects.create_superuser("root"))


@pytest.fixture
def rows(root: User, world: World, client: SignedClient) -> World:
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()
    return world


def status_of(address: str, user: User, form: dict[str, Any] | None = None) -> int:
    response = call_view(address, user, form=form)
    response.close()
    return response.status_code


def with_query(path: str, **parameters: str) -> str:
    return f"{path}?{urlencode(parameters)}"


def test_no_list_fails_for_a_strange_parameter(rows: World, root: User, subtests: pytest.Subtests) -> None:
    """The first filter of each kind gets every strange value, and all others get one."""
    values = itertools.cycle(STRANGE)
    known = set()
    for model in admin.site._registry:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        with subtests.test(model._meta.label):
            for parameter in OF_A_LIST:
                value = next(values)
                assert status_of(with_query(address, **{parameter: value}), root) < 500, (parameter, value)
            for parameter, kind in parameters_of_filters(address, root):
                for value in [next(values)] if kind in known else STRANGE:
                    assert status_of(with_query(address, **{parameter: value}), root) < 500, (
                        parameter,
                        value,
                    )
                known.add(kind)


def parameters_of_filters(address: str, user: User) -> Iterator[tuple[str, str]]:
    """Yields each parameter with its kind: the class of the filter, the class of its field, and the lookup."""
    page: Any = call_view(address, user)
    for spec in page.context_data["cl"].filter_specs:
        field = type(getattr(spec, "field", None)).__name__
        for name in filter(None, spec.expected_parameters()):
            yield name, f"{type(spec).__name__} {field} {name.partition('__')[2]}"


def test_no_object_id_fails(rows: World, root: User) -> None:
    """Each page of an object gets one value, because all of them read the id in the same way."""
    values = itertools.cycle(("x", "%00", "9" * 40, "_5F00", "' OR 1=1", "x" * 3000))
    for address in list_addresses():
        if address.has_object and "path:" in address.route:
            assert status_of(address.fill(next(values)), root) in (302, 403, 404), address


def test_no_page_and_no_form_fails(rows: World, root: User, subtests: pytest.Subtests) -> None:
    """GETs come first, because an accepted form may change later pages. Every role sends an empty form."""
    found = [each for each in list_addresses() if not is_list_or_object(each) and "(" not in each.route]
    people = [with_permissions(member(role.lower(), role)) for role in Role]
    readers = itertools.cycle([root, *people])
    values = itertools.cycle(STRANGE)
    pages = [(address, address.fill()) for address in found]
    for address, path in pages:
        with subtests.test(f"GET {address.name}"):
            for value, person in zip(itertools.islice(values, 3), readers, strict=False):
                query = dict.fromkeys(OF_A_PAGE, value)
                assert status_of(with_query(path, **query), person) < 500, (value, person)
    for address, path in pages:
        with subtests.test(f"POST {address.name}"):
            for person in people:
                assert status_of(path, person, {}) < 500, person
            for form in strange_forms(address, path, root, values):
                assert status_of(path, root, form) < 500, form


def is_list_or_object(address: Address) -> bool:
    return (address.name or "").endswith(("_changelist", "_change", "_history", "_add", "_delete"))


def strange_forms(address: Address, path: str, user: User, values: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yields forms with only strange values. For a page with a form, it also yields forms with one strange value."""
    for value in itertools.islice(values, 2):
        yield dict.fromkeys((*OF_A_PAGE, "reason", "token", "item", "take", "seen", "approval"), value)
    page: Any = call_view(path, user)
    form = (getattr(page, "context_data", None) or {}).get("form")
    if not isinstance(form, forms.Form):
        return
    plausible = {
        name: plausible_value(field, form.get_initial_for_field(field, name))
        for name, field in form.fields.items()
    }
    if (address.name or "").startswith(CALLING_OUT):
        plausible = {}
    for name in form.fields:
        yield {**plausible, name: next(values)}


def plausible_value(field: forms.Field, initial: Any) -> str:
    if initial not in (None, ""):
        return str(initial)
    if isinstance(field, forms.ChoiceField):
        return next(
            (str(value) for value, _label in field.choices if value and not isinstance(value, list)), ""
        )
    if isinstance(field, forms.IntegerField | forms.DecimalField | forms.BooleanField):
        return "1"
    if isinstance(field, forms.DateField):
        return "2026-01-02"
    return "USD" if getattr(field, "max_length", None) == 3 else "a@shop.example"


def test_drawing_a_strange_value_does_not_fail(rows: World) -> None:
    """These requests pass through every middleware and template."""
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.get(username="root"))
    payments = reverse("admin:gateway_payment_changelist")
    for address, parameter in (
        (payments, "q"),
        (payments, "merchant"),
        (payments, "created_from"),
        (reverse("admin_find"), "q"),
        (reverse("admin:exports_export_new"), "status"),
        (reverse("work_queue"), "merchant"),
    ):
        for value in (STRANGE[0], STRANGE[4], STRANGE[7]):
            assert browser.get(address, {parameter: value}).status_code < 500, (address, value)


def test_sign_in_never_redirects_to_another_host(transactional_db: None, settings) -> None:  # type: ignore[no-untyped-def]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("root", password=PASSWORD)
    for there in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example", ""):
        form = {"username": "root", "password": PASSWORD, "next": there}
        answer = Client().post(f"/admin/login/?next={there}", form)
        assert (answer.status_code, answer["Location"]) == (302, "/admin/"), there


def test_invisible_characters_are_shown(rows: World, root: User) -> None:
    hiding = ["a\u202eb\x1b[31m", "o\u2066x\x7f"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL session_replication_role = replica"
        )  # the database refuses to change a payment
        cursor.execute(
            "UPDATE payments SET subject = %s, order_no = %s WHERE payment_no = %s", [*hiding, rows.paid]
        )
    browser = Client()
    browser.force_login(root)
    page = browser.get(reverse("admin:gateway_payment_changelist")).content.decode()
    assert "o\\u2066x\\u007f" in page
    number = rows.paid
    page = browser.get(f"{reverse('admin_find')}?q={number}", follow=True).content.decode()
    assert not set(page) & {"\u202e", "\u2066", "\x1b", "\x7f"}

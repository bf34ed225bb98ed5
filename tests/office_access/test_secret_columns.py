"""No list, search, order, export or page of the back office reveals secret columns to any role."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.utils import quote
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, connections
from django.db.models import Field, ForeignKey, Model
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.http import urlencode

from backoffice.exports.kinds import KINDS
from common.admin import ReadOnlyAdmin
from common.secret_columns import secret_columns
from staff.models import StaffSession
from tests.office_access.conftest import member, signed_in
from tests.ops.conftest import World
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(databases=["default", "simulator"])

SECRET = {
    "auth.User": {"password"},
    "staff.StaffSession": {"session_key", "session_data"},
    "axes.AccessLog": {"session_hash"},
    "merchants.ApiKey": {"key_hash", "sealed_secret"},
    "channel_accounts.StoredChannelAccount": {"sealed_credentials", "previous_sealed_credentials"},
    "webhooks.WebhookEndpoint": {"sealed_secret", "previous_sealed_secret"},
    "payouts.BankAccount": {"sealed_details"},
    "payouts.PayoutFile": {"sealed_content"},
    "simulator.SimulatedPayment": {"token"},
    "staff.Authenticator": {"sealed_key"},
    "staff.RecoveryCode": {"code_hash"},
}
ROLES = ("Viewer", "Support", "Finance", "Operator", "Admin")
LOOKUPS = ("", "__startswith", "__exact", "__regex", "__gt", "__in", "__isnull", "__contains", "__lt")


def address(model: type[Model], page: str, *arguments: object) -> str:
    return reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}",
        args=[quote(each) for each in arguments],  # the admin reads `_40` in a key as `@`
    )


def columns_of(model: type[Model]) -> list[str]:
    return [f'"{model._meta.db_table}"."{name}"' for name in secret_columns(model)]


def test_the_names_of_secret_columns_are_recognized() -> None:
    found = {model._meta.label: set(secret_columns(model)) for model in apps.get_models()}
    assert {label: names for label, names in found.items() if names} == SECRET


def test_sessions_and_second_factors_have_no_pages() -> None:
    for label in (
        "staff.StaffSession",
        "staff.Authenticator",
        "staff.RecoveryCode",
        "staff.Passkey",
        "staff.SingleSignOnIdentity",
        "axes.AccessLog",
    ):
        assert apps.get_model(label) not in admin.site._registry
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ReadOnlyAdmin), model


def test_only_offered_filters_are_looked_up(subtests: pytest.Subtests) -> None:
    """The test tries every lookup on every field of every model, including fields of related models."""
    user = User(is_superuser=True, is_active=True, username="root")
    for model, model_admin in admin.site._registry.items():
        offered = offered_by(model_admin, asking(user))
        with subtests.test(model._meta.label):
            for path in paths_of(model):
                for lookup in LOOKUPS:
                    if (parameter := f"{path}{lookup}") not in offered:
                        with pytest.raises(DisallowedModelAdminLookup):
                            model_admin.get_changelist_instance(asking(user, parameter))


def asking(user: User, parameter: str = "") -> Any:
    request = RequestFactory().get("/", {parameter: "a"} if parameter else {})
    request.user = user
    return request


ALL_SECRETS = {name for names in SECRET.values() for name in names}


def paths_of(model: type[Model]) -> list[str]:
    """Returns the model's own fields, and the fields of related models, in both directions."""
    own = [field.name for field in model._meta.get_fields() if isinstance(field, Field)]
    related = [
        f"{relation.name}__{field.name}"
        for relation in model._meta.get_fields()
        if relation.is_relation and relation.related_model
        for field in relation.related_model._meta.concrete_fields
    ]
    return [*own, *related]


def fields_filtered_by(model_admin: "admin.ModelAdmin[Model]") -> list[str | tuple[str, Any]]:
    return [each for each in model_admin.list_filter if isinstance(each, str | tuple)]  # type: ignore[misc]


def offered_by(model_admin: "admin.ModelAdmin[Model]", request: object) -> set[str | None]:
    changes = model_admin.get_changelist_instance(request)  # type: ignore[arg-type]
    return {name for spec in changes.filter_specs for name in spec.expected_parameters()}


def test_no_role_can_query_a_secret_column(subtests: pytest.Subtests) -> None:
    browsers = {role: signed_in(member(role.lower(), role)) for role in ROLES}
    for role, browser in browsers.items():
        for label, names in SECRET.items():
            model = apps.get_model(label)
            if model not in admin.site._registry:
                continue
            for name in names:
                with subtests.test(f"{role} {label}.{name}"):
                    answer = browser.get(address(model, "changelist"), {f"{name}__startswith": "p"})
                    assert answer.status_code in (400, 403)


@pytest.fixture
def rows(transactional_db: None, world: World, client: SignedClient) -> None:
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()


def test_secret_columns_are_never_loaded(rows: None, subtests: pytest.Subtests) -> None:
    """The test reads the SQL statements. It leaves out the session and the user, which Django itself reads."""
    browser = signed_in(User.objects.create_superuser("root"))
    secret = {model: columns_of(model) for model in apps.get_models() if model not in (User, StaffSession)}
    for model, model_admin in admin.site._registry.items():
        row = model._default_manager.first()
        pages = [address(model, "changelist"), f"{address(model, 'changelist')}?q=x"]
        if row is not None:
            pages += [address(model, "change", row.pk), address(model, "history", row.pk)]
        with subtests.test(model._meta.label):
            for page in pages:
                with (
                    CaptureQueriesContext(connection) as ours,
                    CaptureQueriesContext(connections["simulator"]) as bank,
                ):
                    assert browser.get(page).status_code == 200, page
                for query in [*ours.captured_queries, *bank.captured_queries]:
                    for columns in secret.values():
                        assert not any(column in query["sql"] for column in columns), (page, query["sql"])
            sql = str(model_admin.get_queryset(asking(User.objects.get(username="root"))).query)
            assert not any(column in sql for column in columns_of(model)), sql


def test_searches_orders_filters_and_exports_name_no_secret() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    for model, model_admin in admin.site._registry.items():
        named = [
            *model_admin.get_search_fields(request),
            *model_admin.get_list_display(request),
            *(
                each if isinstance(each, str) else each[0]
                for each in model_admin.list_filter
                if isinstance(each, str | tuple)
            ),
            *map(str, model_admin.ordering or ()),
        ]
        for name in named:
            last = str(name).lstrip("=^@-").rpartition("__")[2]
            assert last not in ALL_SECRETS, (model, name)
    for kind in KINDS.values():
        assert not {need for column in kind.columns for need in column.needs} & ALL_SECRETS


@pytest.mark.parametrize("order", ["1", "-1", "1.2.3", "99", "-99", "x", "password", "-password.1", "%00"])
def test_a_list_of_users_cannot_be_sorted_by_a_parameter(order: str) -> None:
    """Sorting by a hash would reveal the hash."""
    browser = signed_in(User.objects.create_superuser("root"))
    member("a")
    member("b")
    expected = [user.pk for user in browser.get(address(User, "changelist")).context["cl"].result_list]
    answer = browser.get(address(User, "changelist"), {"o": order})
    assert [user.pk for user in answer.context["cl"].result_list] == expected


def test_suggestions_are_for_readers_of_the_table_and_load_no_secret(subtests: pytest.Subtests) -> None:
    """Django's autocomplete lists rows of any related table that has a search."""
    users = {role: with_permissions(member(role.lower(), role)) for role in ROLES}
    for model in admin.site._registry:
        for field in model._meta.concrete_fields:
            if not isinstance(field, ForeignKey):
                continue
            related = field.related_model
            query_fields = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name or "",
                "field_name": field.name,
                "term": "a",
            }
            suggestions = f"{reverse('admin:autocomplete')}?{urlencode(query_fields)}"
            for role, user in users.items():
                with subtests.test(f"{role} {field}"), CaptureQueriesContext(connection) as ours:
                    status = call_view(suggestions, user).status_code
                there = admin.site._registry.get(related)
                if there is None or not there.has_view_permission(asking(user)):
                    assert status in (403, 404), field
                assert not any(column in query["sql"] for query in ours for column in columns_of(related))

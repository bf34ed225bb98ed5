"""The switch between test and live: every list whose rows belong to an environment shows the rows of the chosen one,
and the page of such a row names its environment."""

from collections import deque
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from merchants.admin import EnvironmentFilter
from merchants.models import Environment
from staff.preferences import save_environment
from tests.ops.conftest import World
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

COLUMNS = ("environment", "task_queue")
# The rows of these models have the environment, or an object with an environment, in a text column.
NAMED_IN_A_TEXT = {"approvals.Approval", "gateway.ChannelEvent", "idempotency.IdempotencyKey"}


def find_path(model: type[Model]) -> str:
    """Returns the shortest path of columns that are never empty to an environment; empty if there is none."""
    waiting, seen = deque([(model, "")]), set()
    while waiting:
        here, prefix = waiting.popleft()
        fields = {field.name: field for field in here._meta.concrete_fields}
        for column in COLUMNS:
            if column in fields:
                return f"{prefix}{column}"
        seen.add(here)
        waiting += [
            (field.related_model, f"{prefix}{field.name}__")  # type: ignore[misc]
            for field in fields.values()
            if field.is_relation and not field.null and field.related_model not in seen
        ]
    return ""


PATHS = {model: path for model in admin.site._registry if (path := find_path(model))}
SCOPED = [*PATHS, *(model for model in admin.site._registry if model._meta.label in NAMED_IN_A_TEXT)]


def get_filter(model: type[Model]) -> type[EnvironmentFilter] | None:
    filters = admin.site._registry[model].list_filter
    return next(
        (each for each in filters if isinstance(each, type) and issubclass(each, EnvironmentFilter)), None
    )


def read_environment(row: Any) -> str:
    """Reads the environment of a row along the path that this test has found, or with the filter of its list."""
    path = PATHS.get(type(row))
    if path is None:
        found = get_filter(type(row))
        assert found is not None
        return found.read_environment(row)
    for name in path.split("__"):
        row = getattr(row, name)
    return row if row in Environment.values else ""


def address(model: type[Model], page: str, *arguments: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    return reverse(name, args=[quote(argument) for argument in arguments])


@pytest.fixture
def everything(world: World, client: SignedClient) -> World:
    """A row of each model. All rows with an environment are of test, except the merchant's live key."""
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()
    return world


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


def test_every_list_of_rows_with_an_environment_has_its_filter(subtests: pytest.Subtests) -> None:
    assert len(PATHS) > 30
    for model, path in PATHS.items():
        with subtests.test(model._meta.label):
            found = get_filter(model)
            assert found is not None
            assert found.path == path


def test_every_list_shows_the_chosen_environment(
    everything: World, root: User, subtests: pytest.Subtests
) -> None:
    for environment in Environment.values:
        save_environment(user_id=root.pk, environment=environment)
        user = with_permissions(User.objects.get(pk=root.pk))
        for model in SCOPED:
            with subtests.test(model._meta.label, environment=environment):
                answer: Any = call_view(address(model, "changelist"), user)
                rows = list(answer.context_data["cl"].result_list)
                assert {read_environment(row) for row in rows} <= {environment, ""}
                if environment == "test":
                    assert rows, "the test leaves this list empty"


def test_every_page_says_which_environment_it_is_of(
    everything: World, root: User, subtests: pytest.Subtests
) -> None:
    save_environment(user_id=root.pk, environment="live")
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(root)
    for model in SCOPED:
        with subtests.test(model._meta.label):
            rows = model._default_manager.all()[:50]
            row = next(row for row in rows if read_environment(row) == "test")
            page = browser.get(address(model, "change", row.pk)).content.decode()
            assert "This is test: no real money. The switch is set to Live." in page

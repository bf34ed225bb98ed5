"""The admin shows every model and changes none, and no page reads a whole big table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection, connections, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from common.admin import ReadOnlyAdmin
from events.models import OutboxEvent
from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from merchants.services import NewMerchant
from orders.models import Order
from sagas.models import SagaInstance
from tests.ops.conftest import World
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

REGISTERED = list(admin.site._registry)
# Figures of the dashboard, parts of an export or transfer, and secrets of staff have no pages. A fee plan is shown by
# its versions.
WITHOUT_PAGES = {
    "dashboard.LatencyHour",
    "dashboard.MerchantHour",
    "dashboard.PaidHour",
    "dashboard.PaymentHour",
    "dashboard.Progress",
    "exports.ExportChunk",
    "fees.FeePlan",
    "ledger.DailyBalance",
    "ledger.LedgerAccount",
    "ledger.TransferEntry",
    "ledger.RollupQueueItem",
    "payouts.PayoutFile",
    "work_queue.WorkItem",
    "staff.Authenticator",
    "staff.Passkey",
    "staff.SingleSignOnIdentity",
    "staff.RecoveryCode",
    "staff.SavedView",
    "staff.StaffPermission",
    "staff.StaffPreferences",
    "staff.StaffSession",
}


def address(model: type[models.Model], page: str, *arguments: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    return reverse(name, args=[quote(argument) for argument in arguments])


@pytest.fixture
def superuser() -> Client:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@pytest.fixture
def viewer() -> Client:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(user)
    return browser


@pytest.fixture
def everything(world: World, client: SignedClient) -> World:
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()
    return world


@contextmanager
def at_most(queries: int) -> Iterator[list[str]]:
    statements: list[str] = []
    with CaptureQueriesContext(connection) as ours, CaptureQueriesContext(connections["simulator"]) as bank:
        yield statements
    statements += [query["sql"] for query in [*ours.captured_queries, *bank.captured_queries]]
    assert len(statements) <= queries, "\n".join(statements)


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    text: str = answer.content.decode()
    return text


def test_every_model_is_registered_and_read_only() -> None:
    assert len(REGISTERED) >= 20
    for model in REGISTERED:
        assert isinstance(admin.site._registry.get(model), ReadOnlyAdmin), model
    folders = (settings.BASE_DIR, settings.BASE_DIR / "backoffice", settings.BASE_DIR / "channels")
    ours = [app for app in apps.get_app_configs() if Path(app.path).parent in folders]
    unregistered = {model._meta.label for app in ours for model in app.get_models()} - {
        model._meta.label for model in REGISTERED
    }
    assert unregistered == WITHOUT_PAGES


def test_every_list_and_every_page_opens_with_few_queries(
    everything: World, superuser: Client, subtests: pytest.Subtests
) -> None:
    text_of(superuser.get(reverse("admin:index")))
    for model in REGISTERED:
        with subtests.test(model._meta.label), at_most(9) as statements:
            text_of(superuser.get(address(model, "changelist")))
        assert not any("COUNT(" in sql and "LIMIT" not in sql for sql in statements), statements
        with subtests.test(f"{model._meta.label} page"):
            row = model._default_manager.first()
            assert row is not None, "the test leaves this model empty"
            # The 18th query is for an open dispute at the top of the page.
            with at_most(18):
                text_of(superuser.get(address(model, "change", row.pk)))


def test_more_rows_do_not_mean_more_queries(
    everything: World, client: SignedClient, superuser: Client
) -> None:
    def queries(model: type[models.Model]) -> int:
        with at_most(100) as statements:
            text_of(superuser.get(address(model, "changelist")))
        return len(statements)

    before = {model: queries(model) for model in REGISTERED}
    for _ in range(3):
        payment = shop.paid(client)
        shop.data(shop.refund(client, payment, 100))
    assert {model: queries(model) for model in REGISTERED} == before


def test_no_filter_reads_a_table_for_its_values(everything: World, superuser: Client) -> None:
    for model in (SagaInstance, Payment, Order, Refund, OutboxEvent, IdempotencyKey):
        with at_most(9) as statements:
            text_of(superuser.get(address(model, "changelist")))
        assert not any("SELECT DISTINCT" in sql for sql in statements), statements


def test_a_long_list_is_not_counted(
    everything: World, superuser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 3)
    assert SagaInstance.objects.count() > 3
    with at_most(9) as statements:
        page = text_of(superuser.get(address(SagaInstance, "changelist")))
    assert "about " in page
    assert not any("COUNT(" in sql for sql in statements)


def test_pages_follow_the_index_there_and_back(
    everything: World, superuser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 3)
    for model in (SagaInstance, OutboxEvent):
        ordering = ("-created_at", "-pk") if model is SagaInstance else ("-pk",)
        expected = [str(row.pk) for row in model._default_manager.order_by(*ordering)]
        there, query = [], "?"
        while query:
            with at_most(9) as statements:
                changes = superuser.get(address(model, "changelist") + query).context["cl"]
            assert not any("OFFSET" in sql for sql in statements)
            there.append([str(row.pk) for row in changes.result_list])
            query, before = changes.older_url, changes.newer_url
        assert [pk for rows in there for pk in rows] == expected
        back = superuser.get(address(model, "changelist") + before).context["cl"]
        assert [str(row.pk) for row in back.result_list] == there[-2]


@pytest.mark.parametrize("cursor", ["x", "%00", "W10", "WyJ4IiwieSJd", "." * 3000])
def test_a_cursor_that_is_none_shows_the_first_page(
    everything: World, superuser: Client, cursor: str
) -> None:
    page = superuser.get(address(SagaInstance, "changelist"), {"older": cursor})
    assert page.status_code == 200
    assert len(page.context["cl"].result_list) == SagaInstance.objects.count()


def found(browser: Client, model: type[models.Model], query: str) -> list[str]:
    page = browser.get(address(model, "changelist"), {"q": query})
    assert page.status_code == 200
    return sorted(str(row) for row in page.context["cl"].result_list)


def test_search_is_exact(everything: World, superuser: Client, value: Callable[..., Any]) -> None:
    order_no, trade_no, saga_id = (
        value(f"SELECT {column}::text FROM payments WHERE payment_no = %(n)s", {"n": everything.cancelled})
        for column in ("order_no", "channel_trade_no", "id")
    )
    for query in (everything.cancelled, order_no, trade_no, f" {everything.cancelled} "):
        assert found(superuser, Payment, query) == [everything.cancelled]
    assert found(superuser, SagaInstance, everything.cancelled) == [
        f"payment.cancel {everything.cancelled}",
        f"payment.create {everything.cancelled}",
    ]
    assert found(superuser, SagaInstance, saga_id) == [f"payment.create {everything.cancelled}"]
    assert found(superuser, Refund, everything.refunded) == [everything.refund]
    assert found(superuser, Order, order_no) == [order_no]
    assert found(superuser, IdempotencyKey, "a-key") == ["a-key"]
    for query in (everything.cancelled[:-1], everything.cancelled.lower(), "%", "no such thing"):
        assert found(superuser, Payment, query) == []


def test_an_exact_search_is_answered_by_indexes(
    everything: World, superuser: Client, value: Callable[..., Any]
) -> None:
    with at_most(9) as statements:
        found(superuser, Refund, everything.refund)
    (search,) = [sql for sql in statements if "UNION" in sql and "COUNT(" not in sql]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {search}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    assert "Seq Scan on refunds" not in plan, plan


def test_lists_can_be_narrowed(everything: World, superuser: Client) -> None:
    def narrowed(model: type[models.Model], **by: str) -> set[str]:
        page = superuser.get(address(model, "changelist"), by)
        return {str(row) for row in page.context["cl"].result_list}

    assert narrowed(SagaInstance, status__exact="compensated") == {f"payment.create {everything.declined}"}
    assert narrowed(SagaInstance, definition="refund.create") == {f"refund.create {everything.refund}"}
    assert narrowed(SagaInstance, needs_attention__exact="1") == set()
    assert narrowed(Payment, status__exact="failed") == {everything.declined}
    assert narrowed(Payment, environment="live") == set()


def test_rows_that_need_review_are_marked(
    everything: World, superuser: Client, sabotage: Callable[..., None]
) -> None:
    lists = [(SagaInstance, "saga_instances"), (Payment, "payments")]
    for model, _table in lists:
        assert ">yes<" not in "".join(text_of(superuser.get(address(model, "changelist"))).split())
    for model, table in lists:
        column = "business_id" if model is SagaInstance else "payment_no"
        sabotage(f"UPDATE {table} SET needs_attention = true WHERE {column} = %(n)s", {"n": everything.paid})
        assert ">yes<" in "".join(text_of(superuser.get(address(model, "changelist"))).split())
        page = superuser.get(address(model, "changelist"), {"needs_attention__exact": "1"})
        assert [everything.paid in str(row) for row in page.context["cl"].result_list] == [True]


def test_the_saga_page_shows_its_steps_and_events(everything: World, superuser: Client) -> None:
    saga = SagaInstance.objects.get(business_id=everything.declined)
    page = text_of(superuser.get(address(SagaInstance, "change", saga.pk)))
    for expected in ("CreateOrder", "CallPaymentChannel", "card_declined", "The card was declined", "Failed"):
        assert expected in page


def test_the_payment_page_shows_money_attempts_refunds_and_the_way_to_its_sagas(
    everything: World, superuser: Client
) -> None:
    payment = Payment.objects.get(payment_no=everything.refunded)
    page = text_of(superuser.get(address(Payment, "change", payment.pk)))
    for expected in ("100.00 USD", "30.00 USD", "70.00 USD", everything.refund, payment.channel_trade_no):
        assert expected in page
    for saga in SagaInstance.objects.filter(business_id__in=[everything.refunded, everything.refund]):
        assert address(SagaInstance, "change", saga.pk) in page


def test_the_key_page_shows_the_answer_as_text(everything: World, superuser: Client) -> None:
    record = IdempotencyKey.objects.get(key="a-key")
    page = text_of(superuser.get(address(IdempotencyKey, "change", record.pk)))
    assert "payment_no" in page
    assert "memory at" not in page


def test_secrets_are_on_no_page(everything: World, acme: NewMerchant, superuser: Client) -> None:
    for key in acme.merchant.api_keys.all():
        page = text_of(superuser.get(address(type(key), "change", key.pk)))
        assert key.key_hash not in page
        assert key.sealed_secret not in page


@pytest.mark.parametrize("who", ["superuser", "viewer"])
def test_nobody_adds_changes_or_deletes(
    who: str, everything: World, request: pytest.FixtureRequest, subtests: pytest.Subtests
) -> None:
    """The views are called directly: other tests draw the pages."""
    request.getfixturevalue(who)
    user = with_permissions(User.objects.get(username="root" if who == "superuser" else who))
    for model in REGISTERED:
        with subtests.test(model._meta.label):
            row = model._default_manager.first()
            assert row is not None
            before = model._default_manager.filter(pk=row.pk).values().get()
            page, delete_page = address(model, "change", row.pk), address(model, "delete", row.pk)
            assert call_view(address(model, "changelist"), user).status_code == 200
            assert call_view(page, user).status_code == 200
            assert call_view(address(model, "add"), user).status_code == 403
            assert call_view(page, user, form={"status": "failed"}).status_code == 403
            assert call_view(delete_page, user, form={"post": "yes"}).status_code == 403
            delete = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
            call_view(address(model, "changelist"), user, form=delete)
            assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_every_list_requires_a_permission(everything: World) -> None:
    browser = Client()
    browser.force_login(User.objects.create_user("nobody", is_staff=True))
    for model in REGISTERED:
        assert browser.get(address(model, "changelist")).status_code == 403

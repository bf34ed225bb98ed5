"""The audit log: append-only in the database, with request and address."""

import re

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction
from tests.office_access.conftest import member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def action() -> StaffAction:
    with transaction.atomic():
        return StaffAction.objects.create(
            actor="ana", action="x.y", object_type="x", object_id="1", reason="because", before={"a": 1}
        )


@pytest.mark.parametrize(
    "sql",
    ["UPDATE staff_actions SET reason = 'another'", "DELETE FROM staff_actions", "TRUNCATE staff_actions"],
)
def test_the_database_refuses_to_change_the_audit_log(action: StaffAction, sql: str) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert StaffAction.objects.get().reason == "because"


def test_an_entry_is_written_in_the_transaction_of_the_action() -> None:
    with pytest.raises(AssertionError):
        audit.record(
            actor="ana",
            action=StaffActionType.EXPORT_REQUESTED,
            object_type=ObjectType.EXPORT,
            object_id="1",
            reason="",
        )


def test_an_entry_has_request_and_address(acme) -> None:  # type: ignore[no-untyped-def]
    browser = signed_in(member("admin", "Admin"))
    url = reverse("admin:merchants_merchant_suspend", args=[acme.merchant.pk])
    answer = browser.post(
        url, {"reason": "fraud"}, REMOTE_ADDR="192.0.2.7", headers={"x-request-id": "req-of-test"}
    )
    assert answer.status_code == 302
    done = StaffAction.objects.get()
    assert (done.actor, done.action, done.address, done.request_id) == (
        "admin",
        "merchant.suspend",
        "192.0.2.7",
        "req-of-test",
    )
    assert (done.before, done.after, done.reason) == ({"status": "active"}, {"status": "suspended"}, "fraud")


def test_entries_can_be_searched_by_object_actor_action_and_request(action: StaffAction) -> None:
    browser = signed_in(member("admin", "Admin"))
    changelist = reverse("admin:audit_staffaction_changelist")
    for query, count in (("1", 1), ("ana", 1), ("x.y", 1), ("an", 0), ("no-such-request", 0)):
        page = browser.get(changelist, {"q": query})
        assert len(page.context["cl"].result_list) == count, query


def test_an_action_is_shown_with_its_label_and_its_code(acme) -> None:  # type: ignore[no-untyped-def]
    browser = signed_in(member("admin", "Admin"))
    browser.post(reverse("admin:merchants_merchant_suspend", args=[acme.merchant.pk]), {"reason": "fraud"})
    done = StaffAction.objects.get()
    page = reverse("admin:audit_staffaction_change", args=[done.pk])
    for language, words in (("en", "Suspend the merchant"), ("zh-hans", "停用商户")):
        for address in ("/admin/audit/staffaction/", page):
            html = browser.get(address, headers={"accept-language": language}).content.decode()
            assert words in html
            assert ">merchant.suspend<" in html
        assert f"{words} {acme.merchant.pk}" in html, "the title has the label"
    listed = browser.get("/admin/audit/staffaction/", {"object_type": "merchant"})
    assert len(listed.context["cl"].result_list) == 1


def test_a_page_links_to_the_audit_log_of_its_object(acme) -> None:  # type: ignore[no-untyped-def]
    browser, page = (
        signed_in(member("admin", "Admin")),
        f"/admin/merchants/merchant/{acme.merchant.pk}/change/",
    )
    browser.post(reverse("admin:merchants_merchant_suspend", args=[acme.merchant.pk]), {"reason": "fraud"})
    (link,) = re.findall(r'href="(/admin/audit/staffaction/[?]q=[^"]+)"', browser.get(page).content.decode())
    assert len(browser.get(link).context["cl"].result_list) == 1
    viewer = signed_in(member("vera", "Viewer"))
    assert "/admin/audit/staffaction/" not in viewer.get(page).content.decode()


def test_an_unknown_action_is_shown_with_its_code(action: StaffAction) -> None:
    browser = signed_in(member("admin", "Admin"))
    assert ">x.y<" in browser.get("/admin/audit/staffaction/").content.decode()


def test_the_audit_log_can_be_exported(action: StaffAction) -> None:
    browser = signed_in(member("admin", "Admin"))
    page = browser.get("/admin/audit/staffaction/").content.decode()
    assert 'action="/admin/exports/export/new/"' in page
    assert 'name="kind" value="staff_actions"' in page
    form = browser.get("/admin/exports/export/new/?kind=staff_actions&actor=ana").context["form"]
    assert (form["kind"].value(), form["actor"].value()) == ("staff_actions", "ana")
    for object_type, count in (("merchant", 0), ("staff", 0)):
        filtered = browser.get("/admin/audit/staffaction/", {"object_type": object_type})
        assert len(filtered.context["cl"].result_list) == count

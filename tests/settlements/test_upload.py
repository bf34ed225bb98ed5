"""The page that imports a statement: it imports the whole file or nothing, and names each error."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from settlements.models import StatementFile, StatementLine
from settlements.tasks import settle_statements
from tests.settlements.statements import CHANNEL, Reported, build_csv, expect, find_day

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("root"))
    return client


def upload(browser: Client, content: bytes, **changes: Any) -> Any:
    data = {
        "channel": CHANNEL,
        "environment": "test",
        "format": "csv",
        "day": find_day().isoformat(),
        "file": SimpleUploadedFile("bill.csv", content),
        "reason": "from the bank",
    }
    return browser.post(reverse("admin:settlements_statementfile_upload"), {**data, **changes})


def test_an_uploaded_statement_is_imported_and_then_settled(browser: Client) -> None:
    expect(("PAY-1", 10_000))
    answer = upload(browser, build_csv([Reported("PAY-1", 10_000)], find_day()))
    file = StatementFile.objects.get()
    assert answer["location"] == reverse("admin:settlements_statementfile_change", args=[file.id])
    assert (file.state, file.name, file.imported_by) == ("imported", "bill.csv", "root")
    action = StaffAction.objects.get(action="statement.import")
    assert (action.actor, action.reason) == ("root", "from the bank")
    settle_statements()
    file.refresh_from_db()
    assert file.state == "posted"


def test_an_invalid_file_is_not_imported_and_line_and_field_are_named(browser: Client) -> None:
    content = build_csv([Reported("PAY-1", 10_000), Reported("PAY-2", 500)], find_day())
    answer = upload(browser, content.replace(b"5.00,0.00,5.00", b"5.00,0.00,five"))
    assert answer.status_code == 409
    assert "line 3: net &#x27;five&#x27; is not an amount" in answer.content.decode()
    assert not StatementFile.objects.exists()
    assert not StatementLine.objects.exists()
    assert not StaffAction.objects.filter(action="statement.import").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": "wechat_trades"}, "stripe has no statements of this format."),
        ({"channel_account": "00000000-0000-7000-8000-000000000000"}, "The channel has no such account."),
        ({"day": "2999-01-01"}, "This day has not begun in the channel&#x27;s time zone."),
    ],
)
def test_an_invalid_format_account_or_day_is_refused(
    browser: Client, changes: dict[str, str], text: str
) -> None:
    answer = upload(browser, build_csv([], find_day()), **changes)
    assert text in answer.content.decode()
    assert not StatementFile.objects.exists()


def test_an_upload_does_not_wait_for_another_statement(browser: Client) -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"settlements:{CHANNEL}:test:None"]
            )
        answer = upload(browser, build_csv([], find_day()))
        assert "Try again in some minutes." in answer.content.decode()
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")  # a pool keeps the connection
        other.close()
    assert upload(browser, build_csv([], find_day())).status_code == 302

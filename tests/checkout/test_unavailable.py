"""When the database is unavailable, people get a page that reloads itself, never plain text."""

import os

import psycopg
import pytest
from django.db import connection, connections
from django.test import Client

from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_locked_table_gives_a_page_that_reloads_itself(client: SignedClient, language: str) -> None:
    payment = shop.opened(client)
    path = "/" + payment["payment_url"].split("/", 3)[3]
    browser = Client(raise_request_exception=False, headers={"accept-language": language})
    database = connection.settings_dict
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=os.environ["DB_PASSWORD"],
        dbname=database["NAME"],
    ) as other:
        other.execute("LOCK TABLE payments, simulator_payments IN ACCESS EXCLUSIVE MODE")
        connection.connection.execute("SET lock_timeout = '50ms'")

        connections["simulator"].ensure_connection()
        connections["simulator"].connection.execute("SET lock_timeout = '50ms'")
        answer = browser.get(path)
    assert answer.status_code == 503
    assert answer["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    assert f'http-equiv="refresh" content="{answer["Retry-After"]}"' in page
    assert ("We will be back" if language == "en" else "服务即将恢复") in page
    assert "checkout.css" in page
    for each in (connection, connections["simulator"]):
        each.connection.execute("RESET lock_timeout")
    assert browser.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/admin/auth/user/?password__startswith=a", "/checkout/x?lang=%00"]
)
def test_other_error_pages_have_the_same_style(path: str, admin_client: Client) -> None:
    answer = admin_client.get(path)
    assert answer.status_code in (400, 404)
    assert "checkout.css" in answer.content.decode()

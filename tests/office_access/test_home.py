"""The home page, and the content security policies."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client, override_settings

from gateway.models import Payment

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def text_of(address: str = "/", **headers: str) -> str:
    answer = Client(headers=headers).get(address)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_the_home_page_explains_and_links() -> None:
    html = text_of(Accept_Language="en")
    assert "Payments, refunds and orders for merchants." in html
    browser = Client()
    for address in re.findall(r'href="(/[^"]+)"', html):
        if not address.startswith("/static/"):
            assert browser.get(address).status_code in (200, 302), address


@pytest.mark.parametrize(
    ("query", "header", "language", "text"),
    [
        ("", "", "zh-hans", "支付平台"),
        ("", "en-US", "en", "Payment Platform"),
        ("?lang=en", "zh-CN", "en", "Payment Platform"),
        ("?lang=zh-hans", "en", "zh-hans", "支付平台"),
        ("?lang=%20", "en", "en", "Payment Platform"),
    ],
)
def test_the_home_page_is_in_both_languages(query: str, header: str, language: str, text: str) -> None:
    html = text_of(f"/{query}", **({"Accept-Language": header} if header else {}))
    assert f'<html lang="{language}">' in html
    assert f"<h1>{text}</h1>" in html


def test_a_nul_is_refused_with_an_error_page() -> None:
    answer = Client().get("/?lang=%00")
    assert answer.status_code == 400
    assert "<html lang=" in answer.content.decode()


def test_home_page_and_back_office_have_an_icon() -> None:
    icon = Client().get("/favicon.ico")
    assert icon.status_code == 200
    assert b"".join(icon.streaming_content).startswith(b"\x00\x00\x01\x00"), "the file must be an ICO"  # type: ignore[attr-defined]
    for address in ("/", "/admin/login/"):
        assert re.search(r'<link rel="icon"\s+href="/favicon.ico"', text_of(address))


def test_the_home_page_needs_no_other_host_and_no_script() -> None:
    answer = Client().get("/")
    html = answer.content.decode()
    for banned in ("<script", "style=", "<style", "http:", "https:", "onclick"):
        assert banned not in html
    assert "default-src 'none'" in answer["Content-Security-Policy"]


def test_the_button_leads_to_the_payment_page() -> None:
    browser = Client(enforce_csrf_checks=True)
    assert "<button" in browser.get("/").content.decode()
    token = browser.cookies["csrftoken"].value
    answer = browser.post("/demo-payment?lang=en", {"csrfmiddlewaretoken": token})
    assert answer.status_code == 302
    page = browser.get(answer["Location"])
    assert "100.00" in page.content.decode()
    assert '<html lang="en">' in page.content.decode()
    assert Payment.objects.get().status == "pending"
    assert browser.post("/demo-payment").status_code == 403, "a form of another site creates no payment"
    assert browser.get("/demo-payment").status_code == 405
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("missing", ["LOCAL_STACK", "PAYMENT_DEMO"])
def test_there_is_no_button_in_production(missing: str) -> None:
    with override_settings(**{missing: False}):
        html = text_of()
        assert "<button" not in html
        assert "admin</code>" not in html
        assert Client().post("/demo-payment").status_code == 404
    assert not Payment.objects.exists()


@pytest.mark.parametrize("address", ["/", "/admin/login/", "/api/docs", "/checkout/nothing", "/healthz"])
def test_every_page_has_a_policy_without_other_hosts(address: str, settings: Any) -> None:
    answer = Client().get(address)
    policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    for directive, sources in policy.items():
        if directive != "form-action":
            assert not re.search(r"\*|https?:", sources), (directive, sources)
    if not address.startswith("/api/docs"):
        assert "'unsafe-inline'" not in policy.get("script-src", "")
    assert answer["X-Frame-Options"] == "DENY"


def test_an_answer_of_the_api_has_the_headers_of_a_page_without_its_cookies() -> None:
    answer = Client().get("/api/v1/payments")
    assert answer.status_code == 401
    page = Client().get("/healthz")
    for header in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy"):
        assert answer[header] == page[header], header
    assert not answer.cookies

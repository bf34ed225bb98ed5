"""The addresses to which the payment page may link, post and return."""

import pytest

from checkout.links import build_return_url, list_form_sources, read_web_url

HOSTILE = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://shop.example/%0aalert(1)",
    "data://shop.example/text/html,x",
    "ftp://shop.example/",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://shop.example/1",
    "//evil.example",
    "/relative",
    "https:evil.example",
    "https://",
    "https:///evil",
    "https://shop.example:port/",
    "https://[::1",
    "https://shop.example\n/",
    "\x00https://shop.example",
    "",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_only_web_addresses_pass(url: str) -> None:
    assert read_web_url(url) is None
    assert list_form_sources(url) == []
    assert build_return_url(url, payment_no="PAY-1", status="pending") == ""


def test_http_is_for_test_payments() -> None:
    assert read_web_url("http://shop.example/") is not None
    assert read_web_url("http://shop.example/", allows_http=False) is None
    assert read_web_url("https://shop.example/", allows_http=False) is not None


@pytest.mark.parametrize(
    ("url", "sources"),
    [
        ("https://openapi.alipay.com/gateway.do?x=1", ["https://openapi.alipay.com", "https://*.alipay.com"]),
        ("https://pay.example/x", ["https://pay.example"]),
        ("http://localhost:40003/checkout/simulator/form", ["http://localhost:40003"]),
        ("http://127.0.0.1:8000/", ["http://127.0.0.1:8000"]),
        ("http://[::1]:8000/", ["http://[::1]:8000"]),
        ("https://user:secret@a.b.example:8443/", ["https://a.b.example:8443", "https://*.b.example:8443"]),
        # Characters that would end the directive and begin another one.
        ("https://a.example;script-src *", []),
        ("https://a.example,b.example/", []),
        ("https://a.example'unsafe-inline'/", []),
        ("https://*.example/", []),
        ("https://支付.example/", []),
    ],
)
def test_a_form_may_go_to_the_channels_own_hosts(url: str, sources: list[str]) -> None:
    assert list_form_sources(url) == sources


def test_the_return_url_keeps_its_query() -> None:
    url = build_return_url("https://shop.example/?a=1&status=x&b=#f", payment_no="PAY-1", status="succeeded")
    assert url == "https://shop.example/?a=1&b=&payment_no=PAY-1&status=succeeded#f"

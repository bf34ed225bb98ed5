"""The payment page in a browser without JavaScript."""

import re

import pytest
from celery import current_app
from django.test import Client

from channels.base import ChannelPayment, PaymentState
from channels.simulator import notifications
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification, SimulatedPayment
from common import redis, task_hints
from common.clock import database_now
from tests.simulator.conftest import Shop, ledger

pytestmark = pytest.mark.django_db(databases=["default", "simulator"])


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True, headers={"Accept-Language": "en"})


def _address(payment: ChannelPayment) -> str:
    return "/checkout/" + payment.next_action.url.rsplit("/", 1)[1]


def _seconds_left(payment: ChannelPayment) -> int:
    """Returns the seconds until the payment expires, by the database clock: fewer than the page showed."""
    return int(
        (SimulatedPayment.objects.get(pk=payment.reference).expires_at - database_now()).total_seconds()
    )


def _click(browser: Client, address: str, action: str, **extra: str) -> str:
    """Presses a button, follows the redirect and returns the page."""
    browser.get(address)
    token = browser.cookies["csrftoken"].value
    response = browser.post(address, {"action": action, "csrfmiddlewaretoken": token, **extra})
    assert response.status_code == 303, response.content
    return browser.get(response.headers["Location"]).content.decode()


def test_the_page_shows_what_is_to_be_paid(browser: Client, shop: Shop) -> None:
    payment = shop.create(amount_minor=1_234_500, subject="Coffee <b>beans</b>", description="Two bags")
    response = browser.get(_address(payment))
    text = response.content.decode()
    assert response.status_code == 200
    for shown in (
        "$12,345.00",
        "Coffee &lt;b&gt;beans&lt;/b&gt;",
        "Two bags",
        payment.reference,
    ):
        assert shown in text
    (seconds_left,) = re.findall(r'data-seconds="(\d+)"', text)
    assert _seconds_left(payment) <= int(seconds_left) <= 1800
    assert f'href="https://shop.example/thanks?payment_no={payment.reference}&amp;status=pending"' in text
    assert "no-store" in response.headers["Cache-Control"]


def test_the_page_has_no_inline_script_or_style_and_loads_nothing_from_other_hosts(
    browser: Client, shop: Shop
) -> None:
    response = browser.get(_address(shop.create(return_url="")))
    text = response.content.decode()
    assert (
        text.count("<script") == text.count('<script src="/static/checkout/checkout.js" defer></script>') == 1
    )
    for banned in ("style=", "<style", "http:", "https:", "onclick"):
        assert banned not in text
    policy = response.headers["Content-Security-Policy"]
    for directive in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"):
        assert directive in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1, "USD", "$0.01"),
        (100, "JPY", "¥100"),
        (1_234_567, "KWD", "KWD\xa01,234.567"),
        (100_000, "CNY", "CN¥1,000.00"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(
    browser: Client, shop: Shop, amount: int, currency: str, shown: str
) -> None:
    assert (
        shown in browser.get(_address(shop.create(amount_minor=amount, currency=currency))).content.decode()
    )


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_the_customer_pays(browser: Client, shop: Shop, hints: list[bool]) -> None:
    payment = shop.create()
    text = _click(browser, _address(payment), "pay")
    assert "Payment successful" in text
    assert 'name="action"' not in text
    assert ledger(payment.reference) == [("charge", 10_000)]
    assert Notification.objects.get().event_type == "payment.paid"
    assert hints == [True]


def test_paying_with_manual_capture_holds_the_amount(browser: Client, shop: Shop) -> None:
    payment = shop.create(manual_capture=True)
    assert "Payment authorized" in _click(browser, _address(payment), "pay")
    assert ledger(payment.reference) == [("authorize", 10_000)]


def test_a_declined_card_can_be_replaced(browser: Client, shop: Shop) -> None:
    payment = shop.create()
    for card, text in (("decline", "declined this card"), ("decline_for_funds", "insufficient funds")):
        page = _click(browser, _address(payment), card)
        assert text in page
        assert "Choose a test card" in page, "another card can be tried"
    assert ledger(payment.reference) == []
    assert set(Notification.objects.values_list("event_type", flat=True)) == {"payment.card_refused"}
    assert "Payment successful" in _click(browser, _address(payment), "pay")
    assert ledger(payment.reference) == [("charge", 10_000)]


def test_leaving_the_page_changes_nothing(browser: Client, shop: Shop) -> None:
    payment = shop.create(return_url="")
    address = _address(payment)
    assert "?left=1" in browser.get(address).content.decode()
    assert "You have not paid" in browser.get(f"{address}?left=1").content.decode()
    assert "Payment successful" in _click(browser, address, "pay")
    assert "Payment successful" in browser.get(f"{address}?left=1").content.decode()


def test_a_second_click_changes_nothing(browser: Client, shop: Shop) -> None:
    payment = shop.create()
    for action in ("pay", "pay", "decline"):
        assert "Payment successful" in _click(browser, _address(payment), action)
    assert ledger(payment.reference) == [("charge", 10_000)]
    assert Notification.objects.count() == 1


def test_a_slow_bank_shows_processing(browser: Client, shop: Shop) -> None:
    text = _click(browser, _address(shop.create("processing:900")), "pay")
    assert "being processed" in text
    assert 'http-equiv="refresh"' in text
    assert "Payment successful" in _click(browser, _address(shop.create("processing:0")), "pay")


def test_the_bank_declines(browser: Client, shop: Shop) -> None:
    assert "Payment declined" in _click(browser, _address(shop.create("pay_declined")), "pay")


def test_an_expired_page_takes_no_money(browser: Client, shop: Shop) -> None:
    payment = shop.create(expires_in_seconds=0)
    address = _address(payment)
    token = browser.get(_address(shop.create())).cookies["csrftoken"].value
    browser.post(address, {"action": "pay", "csrfmiddlewaretoken": token})
    assert "This payment has expired" in browser.get(address).content.decode()
    assert ledger(payment.reference) == []


def test_a_cancelled_page_takes_no_money(browser: Client, shop: Shop, channel: SimulatorChannel) -> None:
    payment = shop.create()
    address = _address(payment)
    browser.get(address)
    channel.cancel_payment(shop.cancellation(payment.reference))
    token = browser.cookies["csrftoken"].value
    browser.post(address, {"action": "pay", "csrfmiddlewaretoken": token})
    assert "Payment cancelled" in browser.get(address).content.decode()
    assert ledger(payment.reference) == []


@pytest.mark.parametrize(
    "token", ["nothing", "%00", "%FF", "a" * 5_000, "..", "' OR 1=1 --", "支付", "-", "%0A"]
)
def test_garbage_tokens_find_no_page(browser: Client, token: str) -> None:
    for response in (browser.get(f"/checkout/{token}"), browser.head(f"/checkout/{token}")):
        assert response.status_code == 404


def test_a_tombstone_has_no_page(browser: Client, shop: Shop, channel: SimulatorChannel) -> None:
    channel.cancel_payment(shop.cancellation("PAY-never"))
    assert browser.get(f"/checkout/{SimulatedPayment.objects.get().token}").status_code == 404


@pytest.mark.parametrize("action", ["", "steal", "PAY", "pay\0", "支付"])
def test_garbage_actions_do_nothing(browser: Client, shop: Shop, action: str) -> None:
    payment = shop.create()
    _click(browser, _address(payment), action)
    assert SimulatedPayment.objects.get().state == PaymentState.OPEN


def test_a_post_to_an_unknown_page(browser: Client, shop: Shop) -> None:
    browser.get(_address(shop.create()))
    token = browser.cookies["csrftoken"].value
    response = browser.post("/checkout/nothing", {"action": "pay", "csrfmiddlewaretoken": token}, follow=True)
    assert response.status_code == 404


def test_a_foreign_form_cannot_pay(browser: Client, shop: Shop) -> None:
    payment = shop.create()
    assert browser.post(_address(payment), {"action": "pay"}).status_code == 403
    assert SimulatedPayment.objects.get().state == PaymentState.OPEN


def test_other_methods_are_refused(browser: Client, shop: Shop) -> None:
    address = _address(shop.create())
    assert browser.put(address).status_code == browser.delete(address).status_code == 403, "no form of ours"
    assert browser.options(address).status_code == 405


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/relative",
        "http://[",
        "ftp://x.example",
        "shop",
    ],
)
def test_only_web_addresses_are_linked(browser: Client, shop: Shop, url: str) -> None:
    text = browser.get(_address(shop.create(return_url=url))).content.decode()
    assert f'href="{url}' not in text
    assert "?left=1" in text


def test_a_return_url_cannot_inject_html(browser: Client, shop: Shop) -> None:
    text = browser.get(
        _address(shop.create(return_url='https://x.example/"><script>alert(1)</script>'))
    ).content
    assert b"<script>" not in text


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        ("", "", "zh-hans"),
        ("", "en-US,en;q=0.9", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-hans"),
        ("", "fr", "zh-hans"),
        ("?lang=en", "zh-CN", "en"),
        ("?lang=zh", "en", "zh-hans"),
        ("?lang=%20", "en", "en"),
        ("?lang=xx", "", "zh-hans"),
    ],
)
def test_the_page_has_two_languages(shop: Shop, query: str, header: str, language: str) -> None:
    headers = {"Accept-Language": header} if header else {}
    response = Client(headers=headers).get(_address(shop.create()) + query)
    assert f'<html lang="{language}">' in response.content.decode().replace("zh-Hans", "zh-hans")
    assert response.headers["Content-Language"] == language


def test_the_chosen_language_stays_after_a_click(shop: Shop) -> None:
    browser = Client(headers={"Accept-Language": "zh-CN"})
    address = _address(shop.create()) + "?lang=en"
    assert "Payment successful" in _click(browser, address, "pay")


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_a_broker_that_is_down_does_not_fail_the_page(
    browser: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(notifications, "send_hint", task_hints.send_hint)
    monkeypatch.setattr(redis, "_paused_until", 0.0)
    payment = shop.create()
    assert "Payment successful" in _click(browser, _address(payment), "pay")
    assert ledger(payment.reference) == [("charge", 10_000)]
    assert "redis.unavailable" in caplog.text

"""The payment page in a real browser: customers pay, are declined, leave and double-click, in both languages, on phone
and desktop, with and without JavaScript."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db.models.functions import Now
from playwright.sync_api import expect

from channels.simulator import customer as simulator_customer
from channels.simulator.models import Notification, SimulatedPayment
from tests.checkout.conftest import DESKTOP, PHONE, SHOP, Customer, Windows
from tests.support import bank
from tests.support.shop import Body, cancel, data, get_payment, opened
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def create_payment(client: SignedClient, simulate: str = "", **changes: Any) -> Body:
    wanted = {
        "return_url": f"{SHOP}?order=7",
        "subject": "两本书 Two books",
        "body": "The second one is for you",
        "amount": 1_234_567,
    }
    return opened(client, simulate, **{**wanted, **changes})


def read_return_query(customer: Customer) -> dict[str, str]:
    customer.page.wait_for_url(re.compile(r"^https://shop\.example/"))
    query = parse_qs(urlsplit(customer.page.url).query)
    return {name: value for name, (value,) in query.items()}


def read_status(client: SignedClient, payment: Body) -> str:
    bank.deliver_webhooks(payment["payment_no"])
    return str(get_payment(client, payment)["status"])


def test_the_customer_pays_and_returns_to_the_shop(client: SignedClient, customer: Customer) -> None:
    payment = create_payment(client)
    customer.open(payment)
    expect(customer.page.locator(".amount")).to_have_text("$12,345.67 USD")
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 1_234_567)]
    assert read_status(client, payment) == "succeeded"
    customer.page.get_by_role("link", name="Back to the shop").click()
    assert read_return_query(customer) == {
        "order": "7",
        "payment_no": payment["payment_no"],
        "status": "succeeded",
    }


@pytest.mark.parametrize(
    ("card", "text", "code"),
    [
        ("Declined by the bank", "The bank declined this card", "card_declined"),
        ("Insufficient funds", "insufficient funds", "insufficient_funds"),
    ],
)
def test_a_declined_card_can_be_replaced(
    client: SignedClient, customer: Customer, card: str, text: str, code: str
) -> None:
    payment = create_payment(client)
    customer.open(payment)
    customer.choose_card(card)
    customer.pay()
    expect(customer.page.get_by_role("alert")).to_contain_text(text)
    assert read_status(client, payment) == "pending"
    assert get_payment(client, payment)["failure_code"] == code
    assert bank.read_ledger(payment["payment_no"]) == []
    customer.choose_card("Payment succeeds")
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert read_status(client, payment) == "succeeded"
    assert get_payment(client, payment)["failure_code"] is None


def test_the_customer_leaves_and_comes_back(client: SignedClient, customer: Customer) -> None:
    payment = create_payment(client)
    customer.open(payment)
    customer.page.get_by_role("link", name="Leave without paying").click()
    assert read_return_query(customer)["status"] == "pending"
    assert read_status(client, payment) == "pending"
    customer.page.go_back()
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")


def test_the_customer_leaves_without_a_return_url(client: SignedClient, customer: Customer) -> None:
    customer.open(create_payment(client, return_url=""))
    customer.page.get_by_role("link", name="Leave without paying").click()
    expect(customer.page.locator("h1")).to_have_text("You have not paid")
    customer.page.get_by_role("link", name="Continue to payment").click()
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")


def test_a_double_click_pays_once(client: SignedClient, customer: Customer) -> None:
    payment = create_payment(client)
    customer.open(payment)
    customer.page.locator("#pay button").dblclick()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 1_234_567)]
    assert Notification.objects.filter(reference=payment["payment_no"]).count() == 1


def test_two_windows_pay_once(client: SignedClient, windows: Windows) -> None:
    payment = create_payment(client)
    first, second = windows.new(), windows.new(java_script_enabled=False)
    for window in (first, second):
        window.open(payment)
    first.pay()
    expect(first.page.locator("h1")).to_have_text("Payment successful")
    second.choose_card("Declined by the bank")
    second.pay()
    expect(second.page.locator("h1")).to_have_text("Payment successful")
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 1_234_567)]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_slow_bank(
    client: SignedClient, windows: Windows, monkeypatch: pytest.MonkeyPatch, scripts: bool
) -> None:
    """The bank takes longer than the browser needs to show the page, even on a slow machine."""
    monkeypatch.setattr(simulator_customer, "SLOW_SECONDS", 3600.0)
    customer = windows.new(java_script_enabled=scripts)
    payment = create_payment(client, return_url="")  # the result stays on the screen
    customer.open(payment)
    customer.choose_card("after a few seconds")
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Your payment is being processed")
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(settles_at=Now())
    expect(customer.page.locator("h1")).to_have_text("Payment successful")


def test_the_page_expires_while_it_is_open(client: SignedClient, customer: Customer) -> None:
    payment = create_payment(client)
    customer.open(payment)
    expect(customer.page.locator("#expiry")).to_have_text(re.compile(r"^(30:00|2\d:\d\d)$"))
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(expires_at=Now())
    customer.page.evaluate("document.getElementById('expiry').dataset.seconds = 0")
    customer.page.reload()
    expect(customer.page.locator("h1")).to_have_text("This payment has expired")
    assert read_status(client, payment) == "expired"


def test_everything_works_without_scripts(client: SignedClient, windows: Windows) -> None:
    customer, payment = windows.new("zh", java_script_enabled=False), create_payment(client)
    customer.open(payment)
    customer.page.get_by_role("link", name="English").click()
    customer.choose_card("Payment succeeds")
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert read_status(client, payment) == "succeeded"


def test_no_card_number_leaves_the_browser(client: SignedClient, customer: Customer) -> None:
    sent: list[str] = []
    customer.page.on("request", lambda request: sent.append(f"{request.url} {request.post_data}"))
    customer.open(create_payment(client))
    assert customer.page.locator("input:not([type=radio]):not([type=hidden])").count() == 0
    customer.pay()
    expect(customer.page.locator("h1")).to_have_text("Payment successful")
    assert not [line for line in sent if re.search(r"\d{4}[ +%20]*\d{4}[ +%20]*\d{4}[ +%20]*\d{4}", line)]


def test_the_page_works_with_the_keyboard_alone(client: SignedClient, customer: Customer) -> None:
    customer.open(create_payment(client))
    customer.page.locator("input[name=card]").first.focus()
    customer.page.keyboard.press("ArrowDown")
    customer.page.keyboard.press("ArrowDown")
    customer.page.keyboard.press("Tab")
    customer.page.keyboard.press("Enter")
    expect(customer.page.get_by_role("alert")).to_contain_text("declined this card")


# --- Every state, in both languages and both widths ------------------------------------------------------------


def set_state(payment: Body, state: str, failure_code: str = "") -> None:
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(
        state=state, failure_code=failure_code, settles_at=None
    )


STATES = {
    "open": lambda client: create_payment(client),
    "paid": lambda client: _create_in_state(client, "paid"),
    "authorized": lambda client: _create_in_state(client, "authorized"),
    "processing": lambda client: _create_in_state(client, "processing"),
    "declined": lambda client: _create_in_state(client, "declined", "card_declined"),
    "no-funds": lambda client: _create_in_state(client, "declined", "insufficient_funds"),
    "cancelled": lambda client: _create_cancelled(client),
    "expired": lambda client: _create_in_state(client, "cancelled", "expired"),
}


def _create_in_state(client: SignedClient, state: str, failure_code: str = "") -> Body:
    payment = create_payment(client)
    set_state(payment, state, failure_code)
    return payment


def _create_cancelled(client: SignedClient) -> Body:
    payment = create_payment(client)
    data(cancel(client, payment))
    return payment


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("width", "size"), [("phone", PHONE), ("desktop", DESKTOP)])
def test_every_state_is_readable_and_accessible(
    client: SignedClient, windows: Windows, width: str, size: dict[str, int], language: str
) -> None:
    customer = windows.new(language, size)
    for name, create in STATES.items():
        payment = create(client)
        customer.open(payment)
        _check_page(customer, f"{width}-{language}-{name}", size)
    customer.open(create_payment(client, return_url=""), "?left=1")
    _check_page(customer, f"{width}-{language}-left", size)
    dark = windows.new(language, size, color_scheme="dark")
    dark.open(create_payment(client))
    _check_page(dark, f"{width}-{language}-dark", size)


def _check_page(customer: Customer, name: str, size: dict[str, int]) -> None:
    customer.take_screenshot(name)
    found = Axe().run(customer.page)
    assert found.violations_count == 0, f"{name}\n{found.generate_report()}"
    wide = customer.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"], f"{name} scrolls sideways"


def test_a_long_text_and_a_huge_amount_fit_on_a_small_phone(client: SignedClient, windows: Windows) -> None:
    size = {"width": 320, "height": 568}
    customer = windows.new("en", size)
    payment = create_payment(
        client, amount=999_999_999_999, currency="KWD", subject="W" * 200, body="无" * 300
    )
    customer.open(payment)
    _check_page(customer, "small-long", size)


@pytest.mark.parametrize(
    ("language", "amount", "currency", "shown"),
    [
        ("en", 1_234_567, "USD", "$12,345.67 USD"),
        ("zh", 1_234_567, "USD", "US$12,345.67 USD"),
        ("en", 1_234_567, "CNY", "CN¥12,345.67 CNY"),
        ("zh", 1_234_567, "CNY", "¥12,345.67 CNY"),
        ("en", 1_000, "JPY", "¥1,000 JPY"),
        ("zh", 1_000, "JPY", "JP¥1,000 JPY"),
        ("en", 1_234_567, "KWD", "KWD 1,234.567"),
        ("en", 123_456, "HUF", "HUF 1,234.56"),
    ],
)
def test_amounts_are_written_in_the_chosen_language(
    client: SignedClient, windows: Windows, language: str, amount: int, currency: str, shown: str
) -> None:
    customer = windows.new(language)
    customer.open(create_payment(client, amount=amount, currency=currency))
    expect(customer.page.locator(".amount")).to_have_text(shown)

"""The landing page of a payment at a channel that has a page of its own."""

import re

import pytest
from django.test import Client
from django.utils.html import escape

from channels.simulator.models import SimulatedPayment
from gateway.models import Payment
from tests.support import background, bank
from tests.support.channels import add_channel
from tests.support.shop import Body, cancel, create, data, opened
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(autouse=True)
def _north(monkeypatch: pytest.MonkeyPatch) -> None:
    add_channel(monkeypatch, "north")


def page(payment: Body, query: str = "", status: int = 200) -> str:
    address = payment["checkout_url"].removeprefix("http://localhost:40003")
    answer = Client(headers={"Accept-Language": "en"}).get(f"/checkout/{address.rsplit('/', 1)[1]}{query}")
    assert answer.status_code == status, answer.content
    return answer.content.decode() if status != 302 else answer["Location"]


def test_the_landing_page_links_to_the_page_of_the_channel(client: SignedClient) -> None:
    payment = opened(client, channel="north", return_url="https://shop.example/thanks")
    text = page(payment)
    assert f'href="{escape(payment["payment_url"])}"' in text
    for shown in ("$100.00", payment["payment_no"], "shop.example", "You pay on the secure page of"):
        assert shown in text
    assert 'name="card"' not in text
    assert "style=" not in text
    assert re.search(r"<title>支付", page(payment, "?lang=zh"))


def test_a_simulated_payment_has_no_landing_page(client: SignedClient) -> None:
    payment = opened(client)
    assert page(payment, "?lang=en", status=302) == payment["payment_url"] + "?lang=en"


def test_the_landing_page_shows_the_final_status(client: SignedClient) -> None:
    paid = data(
        create(client, channel="north", metadata={"north": "auto_pay"}, return_url="https://shop.example/")
    )
    assert "Payment successful" in page(paid)
    assert f"https://shop.example/?payment_no={paid['payment_no']}&amp;status=succeeded" in page(paid)
    over = opened(client, channel="north")
    data(cancel(client, over))
    assert "Payment cancelled" in page(over)
    held = opened(client)
    bank.pay(held)
    bank.deliver_webhooks(held["payment_no"])
    assert "Payment successful" in page(held)


def test_the_landing_page_waits_for_a_payment_without_a_page(client: SignedClient) -> None:
    payment = data(create(client, channel="north", metadata={"north": "timeout_before"}), 202)
    assert "being prepared" in page(payment)
    assert '<noscript><meta http-equiv="refresh"' in page(payment)
    background.finish()
    assert "Pay $100.00" in page(payment)


def test_only_our_links_are_served(client: SignedClient) -> None:
    payment, other = opened(client, channel="north"), opened(client, channel="north")
    name, signature = payment["checkout_url"].rsplit("/", 1)[1].split(".")
    _, others = other["checkout_url"].rsplit("/", 1)[1].split(".")
    for forged in (f"{name}.{others}", f"{name[::-1]}.{signature}", f"{name}.{'A' * 43}"):
        page({"checkout_url": f"/checkout/{forged}"}, status=404)
    Payment.objects.filter(payment_no=payment["payment_no"]).update(subject="<b>x</b>")
    assert "&lt;b&gt;x" in page(payment)
    assert SimulatedPayment.objects.count() == 2

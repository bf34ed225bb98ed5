"""The tabs of the payment's page. Each has an address of its own, so that the page works without JavaScript."""

from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway.models import Payment
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

SHOWN = {
    "": "CallPaymentChannel",
    "overview": "CallPaymentChannel",
    "nonsense": "CallPaymentChannel",
    "refunds": "REF-",
    "attempts": "simulator",
    "order": "Coffee",
    "raw": "Merchant's data",
}


@pytest.fixture
def payment(client: SignedClient) -> Payment:
    created = shop.paid(client, amount=123_456)
    shop.data(shop.refund(client, created, 3_456))
    return Payment.objects.get(payment_no=created["payment_no"])


@pytest.fixture
def fina(sign_in: Callable[..., Client]) -> Client:
    return sign_in("fina", "view_*", "staff.refund_payment")


@pytest.mark.parametrize("tab", list(SHOWN))
def test_each_part_shows_its_own(fina: Client, payment: Payment, tab: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = fina.get(reverse("admin:gateway_payment_change", args=[payment.pk]), {"tab": tab})
    assert answer.status_code == 200
    html = unescape(answer.content.decode())
    head, _nav, below = html.partition('aria-label="Parts of this page"')
    assert SHOWN[tab] in below
    chosen = tab if tab in ("refunds", "attempts", "order", "raw") else "overview"
    assert below.count('aria-current="page"') == 1
    assert f'aria-current="page" href="?tab={chosen}"' in below
    assert ("CallPaymentChannel" in below) == (chosen == "overview")
    for always in ("1,234.56 USD", "1,200.00 USD", "34.56 USD", 'max="1200.00"'):
        assert always in head, always
    assert len(queries) < 30

"""Two merchants with accounts of their own at WeChat Pay, in random interleavings: money, webhooks, queries and refunds
of one never touch the other, and one merchant's wrong key leaves the other's payments as they are."""

import datetime as dt
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.db.models import F
from django.http import HttpResponse
from django.test import Client

from channel_accounts import loaded_accounts
from channel_accounts.credentials import seal_credentials
from channel_accounts.models import StoredChannelAccount
from channels.wechat import certificates
from channels.wechat.sandbox.reading import Snapshot, read_books
from gateway.models import Payment, Refund
from tests.channels.wechat_harness import PAUSE_SECONDS, REFUND_SECONDS, build_credentials
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.fixtures import new_merchant, test_client_of
from tests.support.polling import poll_due
from tests.support.shop import REFUNDS, Body, cancel, create, data, error, get_payment, sync
from tests.support.signing import SignedClient
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID, WechatSandbox, wechat_sandbox

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]

SEEDS, LONG_SEEDS, STEPS = 3, 60, 24


@dataclass
class SentWebhook:
    path: str
    headers: Mapping[str, str]
    body: bytes

    def post(self, path: str) -> HttpResponse:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-type"}
        return Client().post(path, self.body, content_type="application/json", headers=headers)


@dataclass
class Shop:
    """A merchant with an account at WeChat Pay. `mchid` is its number there."""

    mchid: str
    client: SignedClient
    account: StoredChannelAccount
    payments: list[Body] = field(default_factory=list)

    @property
    def webhook_path(self) -> str:
        return f"/api/v1/webhooks/wechat/{self.account.webhook_token}"


class TwoShops:
    """Two shops and the sandbox of their channel."""

    def __init__(self, sandbox: WechatSandbox, sent: list[SentWebhook]) -> None:
        self.sandbox, self.sent = sandbox, sent
        self.shops = [self._open(mchid) for mchid in (FIRST_MCHID, SECOND_MCHID)]

    def _open(self, mchid: str) -> Shop:
        merchant = new_merchant()
        account = StoredChannelAccount.objects.create(
            merchant=merchant.merchant,
            environment="test",
            channel="wechat",
            display_name=mchid,
            sealed_credentials=seal_credentials(build_credentials(self.sandbox, mchid)),
        )
        loaded_accounts.clear_cache()
        return Shop(mchid, test_client_of(merchant), account)

    def control(self, path: str, **values: Any) -> None:
        answer = requests.post(f"{self.sandbox.url}/sandbox/{path}", json=values, timeout=60)
        assert answer.ok, answer.text

    def read_books(self, shop: Shop) -> Snapshot:
        return read_books(self.sandbox.bank.books, shop.mchid)

    def let_refunds_settle(self) -> None:
        """Lets the pause between two refunds of one payment pass, at the sandbox and on the platform."""
        self.control("clock", advance_seconds=PAUSE_SECONDS + REFUND_SECONDS)
        Refund.objects.update(created_at=F("created_at") - dt.timedelta(seconds=PAUSE_SECONDS))
        self.control("run-due", now=True)

    def require_apart(self) -> None:
        """Each payment is in the records of its own account only, with the same amounts."""
        for shop in self.shops:
            books = self.read_books(shop)
            ours = {payment["payment_no"] for payment in shop.payments}
            assert {order.out_trade_no for order in books.orders} <= ours
            for payment in shop.payments:
                now = get_payment(shop.client, payment)
                assert now["channel_account"] == str(shop.account.id)
                paid = [
                    o.total for o in books.orders if o.out_trade_no == now["payment_no"] and o.transaction_id
                ]
                refunded = [
                    each.amount
                    for each in books.refunds
                    if each.out_trade_no == now["payment_no"] and each.status == "SUCCESS"
                ]
                assert (now["captured_amount"], now["refunded_amount"]) == (sum(paid), sum(refunded))


@pytest.fixture
def street(settings: Any) -> Iterator[TwoShops]:
    sent: list[SentWebhook] = []

    def receive(url: str, headers: Mapping[str, str], body: bytes) -> int:
        sent.append(SentWebhook(urlsplit(url).path, dict(headers), body))
        return 200

    with wechat_sandbox(send_callback=receive) as sandbox:
        settings.WECHAT_API_BASE = sandbox.url
        settings.WECHAT_CREDENTIALS = {"test": {}, "live": {}}
        certificates.forget_certificates()
        yield TwoShops(sandbox, sent)


def open_payment(shop: Shop) -> Body:
    payment: Body = data(create(shop.client, channel="wechat", currency="CNY"))
    shop.payments.append(payment)
    return payment


class Interleaving:
    def __init__(self, street: TwoShops, seed: int) -> None:
        self.street, self.dice = street, random.Random(seed)

    def run(self) -> None:
        for shop in self.street.shops:
            open_payment(shop)
        for _ in range(STEPS):
            shop = self.dice.choice(self.street.shops)
            step = self.dice.choice(
                (self.create, self.pay, self.pay, self.deliver, self.misdeliver, self.sync, self.refund)
            )
            step(shop, self.dice.choice(shop.payments))
        self.finish_all_work()

    def create(self, shop: Shop, _payment: Body) -> None:
        open_payment(shop)

    def pay(self, shop: Shop, payment: Body) -> None:
        if get_payment(shop.client, payment)["status"] == "pending":
            orders = self.street.read_books(shop).orders
            if any(o.out_trade_no == payment["payment_no"] and o.state == "NOTPAY" for o in orders):
                self.street.control("pay", mchid=shop.mchid, out_trade_no=payment["payment_no"])

    def deliver(self, _shop: Shop, _payment: Body) -> None:
        self.street.control("run-due", now=True)
        self.dice.shuffle(self.street.sent)
        while self.street.sent:
            webhook = self.street.sent.pop()
            assert webhook.post(webhook.path).status_code == 200

    def misdeliver(self, _shop: Shop, _payment: Body) -> None:
        """A webhook comes to the address of the other account: nothing there opens it, and it is refused."""
        self.street.control("run-due", now=True)
        for webhook in self.street.sent:
            for shop in self.street.shops:
                if shop.webhook_path != webhook.path:
                    assert webhook.post(shop.webhook_path).status_code == 400

    def sync(self, shop: Shop, payment: Body) -> None:
        assert sync(shop.client, payment).status_code == 200
        other = next(each for each in self.street.shops if each is not shop)
        error(sync(other.client, payment), 404, "not_found")

    def refund(self, shop: Shop, payment: Body) -> None:
        body = {"payment_no": payment["payment_no"], "amount": self.dice.choice((1_000, 4_000))}
        assert shop.client.post(REFUNDS, body).status_code in (200, 202, 409, 422)
        self.street.let_refunds_settle()

    def finish_all_work(self) -> None:
        for _ in range(2):
            background.finish()
            self.street.let_refunds_settle()
            self.deliver(self.street.shops[0], {})
            background.make_checks_due()
            poll_due()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        count = LONG_SEEDS if metafunc.config.getoption("--long", False) else SEEDS
        metafunc.parametrize("seed", range(1, count + 1))


def test_random_interleavings_never_cross(street: TwoShops, seed: int) -> None:
    Interleaving(street, seed).run()
    street.require_apart()


def test_a_wrong_key_of_one_merchant_leaves_the_other_alone(street: TwoShops) -> None:
    broken, sound = street.shops
    before = open_payment(broken)
    wrong = build_credentials(street.sandbox, broken.mchid) | {
        "private_key": build_credentials(street.sandbox, sound.mchid)["private_key"]
    }
    StoredChannelAccount.objects.filter(id=broken.account.id).update(
        sealed_credentials=seal_credentials(wrong)
    )
    loaded_accounts.clear_cache()
    for _ in range(5):
        assert create(broken.client, channel="wechat", currency="CNY").status_code == 502
        payment = open_payment(sound)
        street.control("pay", mchid=sound.mchid, out_trade_no=payment["payment_no"])
        assert data(sync(sound.client, payment))["status"] == "succeeded"
    assert sync(broken.client, before).status_code == 503
    assert data(cancel(sound.client, open_payment(sound)))["status"] == "cancelled"
    street.require_apart()


def test_the_outage_of_one_account_opens_its_own_breaker(street: TwoShops) -> None:
    """The first shop's calls get no answer until its breaker opens; the second shop's calls are answered."""
    down, up = street.shops
    payment = open_payment(down)
    street.control("faults", kind="lost_request", mchid=down.mchid, times=50)
    statuses = [sync(down.client, payment).status_code for _ in range(6)]
    assert statuses == [503] * 6
    for _ in range(3):
        assert data(sync(up.client, open_payment(up)))["status"] == "pending"
    street.control("clock", advance_seconds=0)


def test_an_account_of_another_merchant_is_not_found(street: TwoShops) -> None:
    payment = open_payment(street.shops[0])
    assert (
        Payment.objects.get(payment_no=payment["payment_no"]).channel_account_id == street.shops[0].account.id
    )
    stranger = f"/api/v1/webhooks/wechat/{uuid.uuid4().hex}"
    street.control("pay", mchid=FIRST_MCHID, out_trade_no=payment["payment_no"])
    street.control("run-due", now=True)
    assert [webhook.post(stranger).status_code for webhook in street.sent] == [404]
    assert get_payment(street.shops[0].client, payment)["status"] == "pending"
    assert street.sent[0].post(street.sent[0].path).status_code == 200
    assert get_payment(street.shops[0].client, payment)["status"] == "succeeded"

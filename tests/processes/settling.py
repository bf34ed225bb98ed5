"""Waits until a platform of processes has no open work, so that the integrity checks can run."""

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write
from tests.support.processes import Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

SYNC_SECONDS = 60.0
# Payments whose customer may have paid, and refunds that the provider may have decided, without a webhook.
_OPEN_AT_SANDBOXES = """
    SELECT p.payment_no FROM payments p
    WHERE p.channel IN ('wechat', 'alipay')
      AND (p.status IN ('pending', 'processing')
        OR EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('pending', 'processing')))
"""


def settle(platform: Platform, shop: HttpShop, books: Books, seconds: float) -> None:
    """Providers send their webhooks until all are acknowledged, every open payment is queried, every saga ends."""

    def all_webhooks_arrived() -> bool:
        platform.supervise()
        return shop.customers.send_again() == 0

    shop.customers.forget_faults()
    wait_until(
        all_webhooks_arrived, seconds + LOADED_SECONDS, "the last webhook to be acknowledged", interval=0.5
    )
    for row in books.rows(_OPEN_AT_SANDBOXES):
        platform.supervise()
        sync_payment(shop, row["payment_no"])
    books.wait_until_settled(seconds, supervise=platform.supervise)


def sync_payment(shop: HttpShop, payment_no: str) -> None:
    """The platform queries the payment, its open refunds and those that the channel lists."""
    sync = Write(f"/api/v1/payments/{payment_no}/sync", {})
    assert shop.repeat_until_final(sync, SYNC_SECONDS).status == 200

"""Brings a platform of processes to rest: what was lost or is late comes now, and then the auditor judges."""

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write
from tests.support.processes import IDEMPOTENCY_LEASE_SECONDS, Platform
from tests.support.waiting import wait_until

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
    wait_until(all_webhooks_arrived, seconds, "the last webhook to be acknowledged", interval=0.5)
    for row in books.rows(_OPEN_AT_SANDBOXES):
        platform.supervise()
        sync = Write(f"/api/v1/payments/{row['payment_no']}/sync", {})
        assert shop.repeat_until_final(sync, IDEMPOTENCY_LEASE_SECONDS + seconds).status == 200
    books.wait_until_settled(seconds, supervise=platform.supervise)

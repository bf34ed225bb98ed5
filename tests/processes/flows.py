"""The flows under test, one row each: what to send, which call it makes, and what must be true afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment

AMOUNT, PART = 10_000, 4_000


@dataclass(frozen=True)
class Flow:
    """`prepare` makes the write on a healthy platform; `verify` looks at the books when it is answered."""

    name: str
    step: str
    prepare: Callable[[HttpShop], Write]
    verify: Callable[[Books, Write, Reply], None]

    def __str__(self) -> str:
        return self.name


def _prepare_create(_shop: HttpShop) -> Write:
    return payment("auto_pay,no_webhook", amount=AMOUNT)


def _verify_create(books: Books, write: Write, reply: Reply) -> None:
    paid = books.require_paid_once(write.body["order_no"])
    assert reply.data["payment_no"] == paid["payment_no"]


def _prepare_decline(_shop: HttpShop) -> Write:
    return payment("decline", amount=AMOUNT)


def _verify_decline(books: Books, write: Write, reply: Reply) -> None:
    failed = books.require_closed_without_money(write.body["order_no"], "failed")
    assert reply.status == 402
    assert reply.json["error_code"] == "payment_declined"
    assert reply.json["details"]["payment_no"] == failed["payment_no"]


def _prepare_refund(shop: HttpShop) -> Write:
    paid = shop.succeeded_payment(amount=AMOUNT)
    return Write(
        "/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": PART, "reason": "half empty"}
    )


def _verify_refund(books: Books, write: Write, reply: Reply) -> None:
    """One refund in our books and in the bank's, whatever was repeated; the rest can still be refunded."""
    paid = books.payment_by_no(write.body["payment_no"])
    refunds = books.rows("SELECT * FROM refunds WHERE payment_id = %s", paid["id"])
    at_bank = books.rows("SELECT * FROM simulator_refunds WHERE payment_id = %s", paid["payment_no"])
    assert [(row["status"], row["amount_minor"]) for row in refunds] == [("succeeded", PART)]
    assert [(row["reference"], row["amount"]) for row in at_bank] == [(refunds[0]["refund_no"], PART)]
    assert books.ledger(paid["payment_no"]) == {"charge": [AMOUNT], "refund": [PART]}
    assert (paid["refunded_minor"], paid["refund_pending_minor"]) == (PART, 0)
    assert reply.data["refund_no"] == refunds[0]["refund_no"]
    books.require_agreement(paid)


def _prepare_cancel(shop: HttpShop) -> Write:
    opened = shop.send(payment("no_webhook", amount=AMOUNT)).data
    return Write(f"/api/v1/payments/{opened['payment_no']}/cancel", {"reason": "changed my mind"})


def _verify_cancel(books: Books, write: Write, reply: Reply) -> None:
    number = write.path.split("/")[-2]
    closed = books.payment_by_no(number)
    at_bank = books.row("SELECT state FROM simulator_payments WHERE reference = %s", number)
    assert closed["status"] == reply.data["status"] == "cancelled"
    assert at_bank == {"state": "cancelled"}
    assert books.ledger(number) == {}
    books.require_agreement(closed)


def _prepare_capture(shop: HttpShop) -> Write:
    held = shop.send(payment("authorize,no_webhook", amount=AMOUNT, capture_method="manual")).data
    assert held["status"] == "authorized", held
    return Write(f"/api/v1/payments/{held['payment_no']}/capture", {"amount": PART})


def _verify_capture(books: Books, write: Write, reply: Reply) -> None:
    number = write.path.split("/")[-2]
    captured = books.payment_by_no(number)
    assert captured["status"] == reply.data["status"] == "succeeded"
    assert captured["captured_minor"] == PART
    assert books.ledger(number) == {"authorize": [AMOUNT], "capture": [PART], "void": [AMOUNT - PART]}
    books.require_agreement(captured)


PAYMENT_CREATE = Flow("payment.create", "CallPaymentChannel", _prepare_create, _verify_create)
PAYMENT_DECLINED = Flow("payment.create declined", "CallPaymentChannel", _prepare_decline, _verify_decline)
REFUND_CREATE = Flow("refund.create", "CallChannelRefund", _prepare_refund, _verify_refund)
PAYMENT_CANCEL = Flow("payment.cancel", "CancelAtChannel", _prepare_cancel, _verify_cancel)
PAYMENT_CAPTURE = Flow("payment.capture", "CaptureAtChannel", _prepare_capture, _verify_capture)

FLOWS = (PAYMENT_CREATE, PAYMENT_DECLINED, REFUND_CREATE, PAYMENT_CANCEL, PAYMENT_CAPTURE)

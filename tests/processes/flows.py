"""The flows under test, one row each: what to send, which call it makes, and what must be true afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment

AMOUNT, PART = 10_000, 4_000


@dataclass(frozen=True)
class Flow:
    """`prepare` makes the write on a healthy platform; `verify` looks at the books when it is answered; `ends` is how
    its saga does."""

    name: str
    step: str
    prepare: Callable[[HttpShop], Write]
    verify: Callable[[Books, Write, Reply], None]
    ends: str = "completed"

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


def _prepare_authorized(_shop: HttpShop) -> Write:
    return payment("authorize,no_webhook", amount=AMOUNT, capture_method="manual")


def _verify_authorized(books: Books, write: Write, reply: Reply) -> None:
    held = books.require_one_payment(write.body["order_no"])
    assert held["status"] == reply.data["status"] == "authorized"
    assert books.ledger(held["payment_no"]) == {"authorize": [AMOUNT]}


def _prepare_declined_refund(shop: HttpShop) -> Write:
    paid = shop.succeeded_payment("refund_declined", amount=AMOUNT)
    return Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": PART})


def _verify_declined_refund(books: Books, write: Write, reply: Reply) -> None:
    paid = books.payment_by_no(write.body["payment_no"])
    refund = books.row("SELECT * FROM refunds WHERE payment_id = %s", paid["id"])
    assert refund is not None
    assert refund["status"] == "failed"
    assert reply.status == 402
    assert books.ledger(paid["payment_no"]) == {"charge": [AMOUNT]}
    assert (paid["refunded_minor"], paid["refund_pending_minor"]) == (0, 0)


def _prepare_pending_refund(shop: HttpShop) -> Write:
    paid = shop.succeeded_payment("refund_pending:9999", amount=AMOUNT)
    return Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": PART})


def _verify_pending_refund(books: Books, write: Write, reply: Reply) -> None:
    """The bank has it once and will pay it later; until then it is reserved."""
    paid = books.payment_by_no(write.body["payment_no"])
    at_bank = books.rows(
        "SELECT state, amount FROM simulator_refunds WHERE payment_id = %s", paid["payment_no"]
    )
    assert at_bank == [{"state": "pending", "amount": PART}]
    assert reply.data["status"] == "processing"
    assert (paid["refunded_minor"], paid["refund_pending_minor"]) == (0, PART)


# Created at the bank; neither the creation nor any question about it is ever answered: it is taken back there.
SILENT = "no_webhook,timeout_after*always,query:timeout_before*always"


def _prepare_silent(_shop: HttpShop) -> Write:
    return payment(SILENT, amount=AMOUNT)


def _verify_rolled_back(books: Books, write: Write, reply: Reply) -> None:
    closed = books.require_closed_without_money(write.body["order_no"], "failed")
    at_bank = books.row("SELECT state FROM simulator_payments WHERE reference = %s", closed["payment_no"])
    assert at_bank == {"state": "cancelled"}
    assert reply.status == 402


CREATE, REFUND = "CallPaymentChannel", "CallChannelRefund"

PAYMENT_CREATE = Flow("payment.create", CREATE, _prepare_create, _verify_create)
PAYMENT_DECLINED = Flow("payment.create declined", CREATE, _prepare_decline, _verify_decline, "compensated")
PAYMENT_AUTHORIZED = Flow("payment.create authorized", CREATE, _prepare_authorized, _verify_authorized)
PAYMENT_CANCEL = Flow("payment.cancel", "CancelAtChannel", _prepare_cancel, _verify_cancel)
PAYMENT_CAPTURE = Flow("payment.capture", "CaptureAtChannel", _prepare_capture, _verify_capture)
REFUND_CREATE = Flow("refund.create", REFUND, _prepare_refund, _verify_refund)
REFUND_DECLINED = Flow(
    "refund.create declined", REFUND, _prepare_declined_refund, _verify_declined_refund, "compensated"
)
REFUND_PENDING = Flow("refund.create pending", REFUND, _prepare_pending_refund, _verify_pending_refund)

FLOWS = (
    PAYMENT_CREATE,
    PAYMENT_DECLINED,
    PAYMENT_AUTHORIZED,
    PAYMENT_CANCEL,
    PAYMENT_CAPTURE,
    REFUND_CREATE,
    REFUND_DECLINED,
    REFUND_PENDING,
)
# The one flow whose compensation calls the bank: every other one is undone in the commit that records the refusal.
PAYMENT_ROLLED_BACK = Flow(
    "payment.create rolled back", CREATE, _prepare_silent, _verify_rolled_back, "compensated"
)

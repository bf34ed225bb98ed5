"""The flows of the crash matrix: the request of each, the call that it makes, and its result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.processes.dispute_answers import prepare_answer, verify_answer, verify_answer_at_stripe
from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment

AMOUNT, PART = 10_000, 4_000


@dataclass(frozen=True)
class Flow:
    """`prepare` returns the request, while there are no faults. `verify` checks our records and the bank's after the
    answer, `verify_at_channel` those of a sandbox. `ends` is the final status of the saga."""

    name: str
    step: str
    prepare: Callable[[HttpShop], Write]
    verify: Callable[[Books, Write, Reply], None]
    ends: str = "completed"
    verify_at_channel: Callable[[HttpShop, Reply], None] = lambda _shop, _reply: None

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
    """Requires one refund in our records and in the bank's after all repetitions. The rest can still be refunded."""
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
    opened = shop.repeat_until_final(payment("no_webhook", amount=AMOUNT), 0).data
    return Write(f"/api/v1/payments/{opened['payment_no']}/cancel", {"reason": "changed my mind"})


def _verify_cancel(books: Books, write: Write, reply: Reply) -> None:
    number = write.path.split("/")[-2]
    closed = books.payment_by_no(number)
    at_bank = books.row("SELECT state FROM simulator_payments WHERE reference = %s", number)
    assert closed["status"] == reply.data["status"] == "cancelled"
    assert at_bank == {"state": "cancelled"}
    assert books.ledger(number) == {}
    books.require_agreement(closed)


def _hold(shop: HttpShop) -> dict[str, Any]:
    opening = payment("authorize,no_webhook", amount=AMOUNT, capture_method="manual")
    held = shop.repeat_until_final(opening, 0).data
    assert held["status"] == "authorized", held
    return held


def _prepare_capture(shop: HttpShop) -> Write:
    return Write(f"/api/v1/payments/{_hold(shop)['payment_no']}/capture", {"amount": PART})


def _verify_capture(books: Books, write: Write, reply: Reply) -> None:
    number = write.path.split("/")[-2]
    captured = books.payment_by_no(number)
    assert captured["status"] == reply.data["status"] == "succeeded"
    assert captured["captured_minor"] == PART
    assert books.ledger(number) == {"authorize": [AMOUNT], "capture": [PART], "void": [AMOUNT - PART]}
    books.require_agreement(captured)


def _prepare_second_capture(shop: HttpShop) -> Write:
    held = _hold(shop)
    path, part = f"/api/v1/payments/{held['payment_no']}/capture", {"amount": PART, "final_capture": False}
    assert shop.repeat_until_final(Write(path, part), 0).data["captured_amount"] == PART
    return Write(path, part)


def _verify_second_capture(books: Books, write: Write, reply: Reply) -> None:
    """Requires two captures at the bank, which still holds the rest."""
    number = write.path.split("/")[-2]
    captured = books.payment_by_no(number)
    assert captured["status"] == reply.data["status"] == "authorized"
    assert captured["captured_minor"] == reply.data["captured_amount"] == 2 * PART
    assert books.ledger(number) == {"authorize": [AMOUNT], "capture": [PART, PART]}
    rows = books.rows("SELECT * FROM captures WHERE payment_id = %s ORDER BY number", captured["id"])
    assert [(row["status"], row["amount_minor"]) for row in rows] == [("succeeded", PART)] * 2
    books.require_agreement(captured)


def _prepare_increment(shop: HttpShop) -> Write:
    path = f"/api/v1/payments/{_hold(shop)['payment_no']}/increment-authorization"
    return Write(path, {"amount": AMOUNT + PART})


def _verify_increment(books: Books, write: Write, reply: Reply) -> None:
    number = write.path.split("/")[-2]
    held = books.payment_by_no(number)
    assert reply.data["authorized_amount"] == AMOUNT + PART
    assert (held["status"], held["authorization_increment_minor"]) == ("authorized", PART)
    assert books.ledger(number) == {"authorize": [AMOUNT, PART]}


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
    """Requires one refund at the bank, which is still pending, and its reservation here."""
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


def _send_creation(shop: HttpShop, channel: str, method: str) -> dict[str, Any]:
    opening = payment(amount=AMOUNT, channel=channel, payment_method=method, currency="CNY")
    return shop.repeat_until_final(opening, 0).data


def _prepare_wechat_create(_shop: HttpShop) -> Write:
    return payment(amount=AMOUNT, channel="wechat", payment_method="wechat_native", currency="CNY")


def _verify_open(books: Books, write: Write, reply: Reply) -> None:
    opened = books.require_one_payment(write.body["order_no"])
    assert opened["status"] == reply.data["status"] == "pending"
    assert reply.data["next_action"]["type"] == "qr_code"


def _verify_order_at_wechat(shop: HttpShop, reply: Reply) -> None:
    """Requires one order, which the customer can pay."""
    number = reply.data["payment_no"]
    orders = [each for each in shop.customers.read_wechat_books().orders if each.out_trade_no == number]
    assert [(each.total, each.state) for each in orders] == [(AMOUNT, "NOTPAY")]


def _prepare_wechat_refund(shop: HttpShop) -> Write:
    opened = _send_creation(shop, "wechat", "wechat_native")
    shop.customers.pay_at_wechat(opened["payment_no"])
    return _prepare_refund_of(shop, opened)


def _prepare_refund_of(shop: HttpShop, opened: dict[str, Any]) -> Write:
    """Returns a refund of a payment that the platform knows to be paid, by a webhook or by a query."""
    number = opened["payment_no"]
    sync = Write(f"/api/v1/payments/{number}/sync", {})
    assert shop.repeat_until_final(sync, 0).data["status"] == "succeeded"
    return Write("/api/v1/refunds", {"payment_no": number, "amount": PART, "reason": "half empty"})


def _verify_one_refund(books: Books, write: Write, reply: Reply) -> None:
    paid = books.payment_by_no(write.body["payment_no"])
    (refund,) = books.rows("SELECT * FROM refunds WHERE payment_id = %s", paid["id"])
    assert refund["refund_no"] == reply.data["refund_no"]
    assert refund["amount_minor"] == PART == paid["refunded_minor"] + paid["refund_pending_minor"]
    assert paid["captured_minor"] == AMOUNT


def _verify_refund_at_wechat(shop: HttpShop, reply: Reply) -> None:
    """Requires that the money left once."""
    books, number = shop.customers.read_wechat_books(), reply.data["payment_no"]
    refunds = [each for each in books.refunds if each.out_trade_no == number]
    assert [(each.out_refund_no, each.amount) for each in refunds] == [(reply.data["refund_no"], PART)]


def _prepare_alipay_create(_shop: HttpShop) -> Write:
    return payment(amount=AMOUNT, channel="alipay", payment_method="alipay_qr", currency="CNY")


def _verify_trade_at_alipay(shop: HttpShop, reply: Reply) -> None:
    """Requires no trade before the customer scans the code, and one after it."""
    number = reply.data["payment_no"]
    assert shop.customers.find_alipay_trades(number) == []
    shop.customers.pay_at_alipay(number)
    (trade,) = shop.customers.find_alipay_trades(number)
    assert (trade["total_fen"], trade["refunded_fen"]) == (AMOUNT, 0)


def _prepare_alipay_refund(shop: HttpShop) -> Write:
    opened = _send_creation(shop, "alipay", "alipay_qr")
    shop.customers.pay_at_alipay(opened["payment_no"])
    return _prepare_refund_of(shop, opened)


def _verify_refund_at_alipay(shop: HttpShop, reply: Reply) -> None:
    """Requires that the money left once."""
    (trade,) = shop.customers.find_alipay_trades(reply.data["payment_no"])
    assert (trade["total_fen"], trade["refunded_fen"]) == (AMOUNT, PART)


def _prepare_approval(_shop: HttpShop) -> Write:
    """The answer to its creation says that the customer has approved, so a worker completes the payment."""
    return payment("auto_pay,no_webhook", amount=AMOUNT, payment_method="simulator_approval")


CREATE, REFUND, COMPLETE = "CallPaymentChannel", "CallChannelRefund", "CompleteAtChannel"

PAYMENT_CREATE = Flow("payment.create", CREATE, _prepare_create, _verify_create)
PAYMENT_DECLINED = Flow("payment.create declined", CREATE, _prepare_decline, _verify_decline, "compensated")
PAYMENT_AUTHORIZED = Flow("payment.create authorized", CREATE, _prepare_authorized, _verify_authorized)
PAYMENT_CANCEL = Flow("payment.cancel", "CancelAtChannel", _prepare_cancel, _verify_cancel)
PAYMENT_CAPTURE = Flow("payment.capture", "CaptureAtChannel", _prepare_capture, _verify_capture)
SECOND_CAPTURE = Flow(
    "payment.capture in part", "CaptureAtChannel", _prepare_second_capture, _verify_second_capture
)
INCREMENT = Flow(
    "payment.increment_authorization", "IncrementAtChannel", _prepare_increment, _verify_increment
)
REFUND_CREATE = Flow("refund.create", REFUND, _prepare_refund, _verify_refund)
REFUND_DECLINED = Flow(
    "refund.create declined", REFUND, _prepare_declined_refund, _verify_declined_refund, "compensated"
)
WECHAT_CREATE = Flow(
    "payment.create at WeChat Pay",
    CREATE,
    _prepare_wechat_create,
    _verify_open,
    verify_at_channel=_verify_order_at_wechat,
)
WECHAT_REFUND = Flow(
    "refund.create at WeChat Pay",
    REFUND,
    _prepare_wechat_refund,
    _verify_one_refund,
    verify_at_channel=_verify_refund_at_wechat,
)
ALIPAY_CREATE = Flow(
    "payment.create at Alipay",
    CREATE,
    _prepare_alipay_create,
    _verify_open,
    verify_at_channel=_verify_trade_at_alipay,
)
ALIPAY_REFUND = Flow(
    "refund.create at Alipay",
    REFUND,
    _prepare_alipay_refund,
    _verify_one_refund,
    verify_at_channel=_verify_refund_at_alipay,
)
REFUND_PENDING = Flow("refund.create pending", REFUND, _prepare_pending_refund, _verify_pending_refund)
# Three calls, of which the last is the pivot.
DISPUTE_READ, DISPUTE_UPLOAD, DISPUTE_RESPOND = (
    Flow(
        f"dispute.respond {step}",
        step,
        prepare_answer,
        verify_answer,
        verify_at_channel=verify_answer_at_stripe,
    )
    for step in ("ReadDispute", "UploadFiles", "RespondAtChannel")
)

FLOWS = (
    PAYMENT_CREATE,
    PAYMENT_DECLINED,
    PAYMENT_AUTHORIZED,
    PAYMENT_CANCEL,
    PAYMENT_CAPTURE,
    REFUND_CREATE,
    REFUND_DECLINED,
    REFUND_PENDING,
    WECHAT_CREATE,
    WECHAT_REFUND,
    ALIPAY_CREATE,
    ALIPAY_REFUND,
    DISPUTE_READ,
    DISPUTE_UPLOAD,
    DISPUTE_RESPOND,
)
# Their answers are lost in every run; with --long their processes die as well.
LONG_FLOWS = (SECOND_CAPTURE, INCREMENT)
# The one flow that a request never runs itself: workers do (test_completion.py).
PAYMENT_COMPLETE = Flow("payment.complete", COMPLETE, _prepare_approval, _verify_create)
# The one flow whose compensation calls the bank: every other one is undone in the commit that records the refusal.
PAYMENT_ROLLED_BACK = Flow(
    "payment.create rolled back", CREATE, _prepare_silent, _verify_rolled_back, "compensated"
)

"""Asynchronous notices: made in the transaction of what they report, sent later until the merchant answers `success`.

Fields, and which status of a trade is reported for which product: open/270/105902 (page pay), open/204/105301;
developer.aliyun.com/ask/285132. Repetitions: 4m, 10m, 10m, 1h, 2h, 6h, 15h after the first attempt, with the same
notify_id, until the body of the answer is the word success (open/270/105902).
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa

from channels.alipay.sandbox import apps, signatures
from channels.alipay.sandbox.amounts import write_yuan
from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.clock import write_time
from channels.alipay.sandbox.faults import SandboxOperation
from channels.alipay.sandbox.trade_records import BUYER_ID, BUYER_LOGON_ID, CLOSED, FINISHED, SUCCESS, Trade

# Minutes from one attempt to the next.
REPETITIONS = (4, 10, 10, 60, 120, 360, 900)
ACKNOWLEDGEMENT = b"success"
REPORTED_STATUSES: Mapping[str, frozenset[str]] = {
    apps.PAGE_PAY: frozenset({SUCCESS}),
    apps.FACE_TO_FACE: frozenset({SUCCESS}),
    apps.WAP_PAY: frozenset({SUCCESS, CLOSED, FINISHED}),
}


# Flaw and state of the rows that a behaviour makes of one notice. A flawed one is sent once, before the true one.
_ROWS = {
    "duplicate_webhook": [("", "waiting"), ("", "waiting")],
    "out_of_order_webhook": [("", "held")],
    "no_webhook": [("", "suppressed")],
    "forged_webhook": [("forged", "waiting"), ("", "waiting")],
    "tampered_webhook": [("tampered", "waiting"), ("", "waiting")],
}


@dataclass(frozen=True, slots=True)
class RefundReport:
    """`total_fen`: all that was refunded so far, which refund_fee says."""

    out_request_no: str
    total_fen: int
    refunded_at: str


@dataclass(frozen=True)
class Notice:
    id: int
    notify_id: str
    app_id: str
    trade_no: str
    url: str
    fields: str
    flaw: str
    state: str
    attempts: int
    next_attempt_at: str
    last_answer: str


def report(
    books: Books, app: apps.App, trade: Trade, *, refund: RefundReport | None = None, url: str = ""
) -> None:
    """Makes the notice of the trade's status. `url`: an address of its own, which asks for it whatever the product."""
    address = url or trade.notify_url
    # A trade of a product that can never be refunded is TRADE_FINISHED at once: its payment is always reported.
    is_payment = refund is None and trade.status in (SUCCESS, FINISHED) and trade.paid_at == books.time
    if not address or not (url or is_payment or trade.status in REPORTED_STATUSES[trade.product]):
        return
    fault = books.faults.take(SandboxOperation.NOTIFY, app_id=app.app_id, out_trade_no=trade.out_trade_no)
    kind = fault.kind if fault else ""
    fields = _fields(app, trade, refund)
    if fault is not None and kind == "contradict_webhook":
        fields |= {name: str(value) for name, value in fault.fields.items()}
    notify_id = f"{books.now:%Y%m%d}{secrets.token_hex(13)}"
    delay = timedelta(seconds=(fault.seconds or 0) if fault else 0)
    for flaw, state in _ROWS.get(kind, [("", "waiting")]):
        books.connection.execute(
            "INSERT INTO notices (notify_id, app_id, trade_no, url, fields, flaw, state, next_attempt_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                notify_id,
                app.app_id,
                trade.trade_no,
                address,
                json.dumps(fields, ensure_ascii=False),
                flaw,
                state,
                write_time(books.now + delay),
            ),
        )


def _fields(app: apps.App, trade: Trade, refund: RefundReport | None) -> dict[str, str]:
    paid = write_yuan(trade.total_fen if trade.is_paid else 0)
    fields = {
        "notify_type": "trade_status_sync",
        "app_id": app.app_id,
        "auth_app_id": app.app_id,
        "charset": trade.charset,
        "version": "1.0",
        "sign_type": "RSA2",
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "trade_status": trade.status,
        "total_amount": write_yuan(trade.total_fen),
        "receipt_amount": paid,
        "invoice_amount": paid,
        "buyer_pay_amount": paid,
        "point_amount": "0.00",
        "buyer_id": BUYER_ID,
        "buyer_logon_id": BUYER_LOGON_ID,
        "seller_id": trade.seller_id,
        "subject": trade.subject,
        "body": trade.body,
        "passback_params": trade.passback_params,
        "gmt_create": trade.created_at,
        "gmt_payment": trade.paid_at or "",
        "gmt_close": trade.closed_at or "",
    }
    if trade.is_paid:
        fields["fund_bill_list"] = json.dumps(
            [{"amount": paid, "fundChannel": "ALIPAYACCOUNT"}], separators=(",", ":")
        )
    if refund is not None:
        fields["out_biz_no"] = refund.out_request_no
        fields["refund_fee"] = write_yuan(refund.total_fen)
        fields["gmt_refund"] = refund.refunded_at
    return {name: value for name, value in fields.items() if value}


def signed_fields(books: Books, notice: Notice) -> dict[str, str]:
    """Returns what is posted now: each attempt has its own notify_time, and so its own signature."""
    app = apps.get(books.connection, notice.app_id)
    stored: dict[str, str] = json.loads(notice.fields)
    charset = stored["charset"]
    fields = {name: value.encode(charset, "replace").decode(charset) for name, value in stored.items()}
    fields |= {"notify_id": notice.notify_id, "notify_time": books.time}
    message = signatures.text_to_sign(fields, without=signatures.NOT_IN_NOTICES).encode(charset)
    key = _foreign_key() if notice.flaw == "forged" else app.signing_key
    fields["sign"] = signatures.sign(message, key)
    if notice.flaw == "tampered":
        fields["total_amount"] = "0.01" if fields["total_amount"] != "0.01" else "0.02"
    return fields


@lru_cache
def _foreign_key() -> rsa.RSAPrivateKey:
    return signatures.make_private_key()


def due(books: Books) -> list[Notice]:
    rows = books.connection.execute(
        "SELECT * FROM notices WHERE state = 'waiting' AND next_attempt_at <= ? ORDER BY next_attempt_at, id",
        (books.time,),
    )
    return [Notice(**dict(row)) for row in rows]


def next_attempt_at(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT MIN(next_attempt_at) FROM notices WHERE state = 'waiting'").fetchone()
    return None if row[0] is None else str(row[0])


def record_attempt(
    books: Books, notice: Notice, *, sent_at: datetime, is_acknowledged: bool, answer: str
) -> None:
    """Ends the notice or plans its repetition, and releases the notices of its trade that waited for it."""
    attempts = notice.attempts + 1
    state, next_time = "acknowledged", notice.next_attempt_at
    if not is_acknowledged:
        state = "given_up" if notice.flaw or attempts > len(REPETITIONS) else "waiting"
        if state == "waiting":
            next_time = write_time(sent_at + timedelta(minutes=REPETITIONS[attempts - 1]))
    books.connection.execute(
        "UPDATE notices SET state = ?, attempts = ?, next_attempt_at = ?, last_answer = ? WHERE id = ?",
        (state, attempts, next_time, answer, notice.id),
    )
    books.connection.execute(
        "UPDATE notices SET state = 'waiting', next_attempt_at = ? WHERE trade_no = ? AND state = 'held'",
        (books.time, notice.trade_no),
    )


def repeat(books: Books, notify_id: str) -> int:
    """Sends a notice once more, as after a lost acknowledgement. Returns the number of notices with this id."""
    return books.connection.execute(
        "UPDATE notices SET state = 'waiting', attempts = 0, next_attempt_at = ? WHERE notify_id = ?",
        (books.time, notify_id),
    ).rowcount


def all_of(connection: sqlite3.Connection, *, trade_no: str = "") -> list[Notice]:
    rows = connection.execute(
        "SELECT * FROM notices WHERE trade_no = ? OR ? = '' ORDER BY id", (trade_no, trade_no)
    )
    return [Notice(**dict(row)) for row in rows]

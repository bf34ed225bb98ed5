"""Callbacks: queued with what they report, then signed, encrypted and sent until the merchant accepts them.

docs/merchant/apis/h5-payment/payment-notice.html; the intervals of the retries are those of
wiki/doc/apiv3/apis/chapter3_2_5.shtml: 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h, 24h4m in all.
"""

import http.client
import json
import sqlite3
import time
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any

from channels.wechat.sandbox import numbers
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.faults import FaultKind, replace_fields
from channels.wechat.sandbox.signatures import (
    PROBE_PREFIX,
    choose_callback_serial,
    encode_json,
    encrypt_resource,
    sign_headers,
)

RETRY_SECONDS = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
# "需在5秒内完成对报文的验签，并应答回调通知".
ANSWER_SECONDS = 5.0
# "接收成功：HTTP应答状态码需返回200或204".
ACCEPTED = (200, 204)
SUMMARIES = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
}
# How a callback is signed. All but the first must be refused by the merchant, and are sent once.
GENUINE, PROBE, FORGED, STALE, TAMPERED = "genuine", "probe", "forged", "stale", "tampered"
_EXTRA = {
    FaultKind.CALLBACK_PROBED: PROBE,
    FaultKind.CALLBACK_FORGED: FORGED,
    FaultKind.CALLBACK_STALE: STALE,
    FaultKind.CALLBACK_TAMPERED: TAMPERED,
    FaultKind.CALLBACK_DUPLICATED: GENUINE,
}


def enqueue(
    bank: Bank,
    db: sqlite3.Connection,
    *,
    mchid: str,
    event_type: str,
    notify_url: str,
    resource: dict[str, Any],
    numbers_of_subject: Collection[str],
) -> None:
    """Queues a callback in the transaction of what it reports, with the planned fault for it."""
    now = bank.clock.now()
    fault = bank.faults.take("callback", event_type, mchid, numbers_of_subject)
    event_id = numbers.make_event_id()
    status, next_at = "waiting", now
    if fault is not None:
        if fault.kind in _EXTRA:
            add(db, mchid, event_type, notify_url, resource, event_id, _EXTRA[fault.kind], now, now)
        elif fault.kind is FaultKind.CALLBACK_DROPPED:
            status = "dropped"
        elif fault.kind is FaultKind.CALLBACK_HELD:
            status = "held"
        elif fault.kind is FaultKind.CALLBACK_LATE:
            next_at = now + fault.seconds
        elif fault.kind is FaultKind.CALLBACK_CONTRADICTION:
            resource = replace_fields(resource, fault.fields)
    add(db, mchid, event_type, notify_url, resource, event_id, GENUINE, now, next_at, status)
    bank.work_added.set()


def add(
    db: sqlite3.Connection,
    mchid: str,
    event_type: str,
    notify_url: str,
    resource: Mapping[str, Any],
    event_id: str,
    signing: str,
    created_at: float,
    next_at: float,
    status: str = "waiting",
) -> None:
    db.execute(
        "INSERT INTO callbacks (event_id, mchid, event_type, summary, original_type, resource, notify_url, signing,"
        " created_at, next_at, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            event_id,
            mchid,
            event_type,
            SUMMARIES[event_type],
            "transaction" if event_type.startswith("TRANSACTION") else "refund",
            json.dumps(resource, ensure_ascii=False),
            notify_url,
            signing,
            created_at,
            next_at,
            status,
        ],
    )


def deliver_due(bank: Bank) -> int:
    """Sends each callback that is due once. Returns how many were sent."""
    sent = 0
    while callback := _claim_due(bank):
        _deliver(bank, callback)
        sent += 1
    return sent


def _claim_due(bank: Bank) -> sqlite3.Row | None:
    """Claims the next one by setting the time of its retry: if the process dies, the retry still comes."""
    now = bank.clock.now()
    with bank.books.transaction() as db:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM callbacks WHERE status = 'waiting' AND next_at <= ? ORDER BY next_at, id LIMIT 1",
            [now],
        ).fetchone()
        if row is None:
            return None
        is_last = row["signing"] != GENUINE or row["attempts"] >= len(RETRY_SECONDS)
        db.execute(
            "UPDATE callbacks SET attempts = attempts + 1, next_at = ?, status = ? WHERE id = ?",
            [
                None if is_last else now + RETRY_SECONDS[row["attempts"]],
                "given_up" if is_last else "waiting",
                row["id"],
            ],
        )
    return row


def _deliver(bank: Bank, callback: sqlite3.Row) -> None:
    headers, body = make_message(bank, callback)
    status: int | None = None
    error = ""
    try:
        status = bank.send_callback(callback["notify_url"], headers, body)
    except (OSError, http.client.HTTPException, ValueError) as failure:  # ValueError: not an address
        error = f"{type(failure).__name__}: {failure}"
    with bank.books.transaction() as db:
        db.execute(
            "INSERT INTO callback_attempts (callback_id, at, serial, http_status, error) VALUES (?, ?, ?, ?, ?)",
            [callback["id"], bank.clock.now(), headers["Wechatpay-Serial"], status, error],
        )
        if status in ACCEPTED:
            db.execute(
                "UPDATE callbacks SET status = 'delivered', next_at = NULL WHERE id = ?", [callback["id"]]
            )
        if callback["signing"] == GENUINE:  # the next event has arrived: send those that waited for it
            db.execute(
                "UPDATE callbacks SET status = 'waiting', next_at = ? WHERE mchid = ? AND status = 'held'",
                [bank.clock.now(), callback["mchid"]],
            )


def make_message(bank: Bank, callback: sqlite3.Row) -> tuple[dict[str, str], bytes]:
    """The headers and the body of one attempt: encrypted and signed anew each time, under the same event id."""
    merchant = bank.merchants[callback["mchid"]]
    resource = encrypt_resource(merchant, callback["resource"], callback["original_type"])
    body = encode_json(
        {
            "id": callback["event_id"],
            "create_time": format_rfc3339(callback["created_at"]),
            "resource_type": "encrypt-resource",
            "event_type": callback["event_type"],
            "summary": callback["summary"],
            "resource": {"original_type": callback["original_type"], **resource},
        }
    )
    serial = choose_callback_serial(bank.platform, merchant, callback["event_id"])
    signing = callback["signing"]
    timestamp = int(time.time()) - 3600 if signing == STALE else None
    headers = sign_headers(bank.platform, serial, body, timestamp=timestamp)
    if signing == PROBE:
        headers["Wechatpay-Signature"] = PROBE_PREFIX + headers["Wechatpay-Signature"]
    elif signing == FORGED:
        headers = _forge(bank, serial, body)
    elif signing == TAMPERED:
        body = body.replace(b"encrypt-resource", b"encrypt-resourcE")
    headers |= {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "Mozilla/4.0"}
    return headers, body


def _forge(bank: Bank, serial: str, body: bytes) -> dict[str, str]:
    """Signs with a key that does not belong to the serial."""
    other = bank.platform.certificate_serial
    if serial == other:
        other = next(iter(bank.merchants.values())).public_key_id
    return sign_headers(bank.platform, other, body) | {"Wechatpay-Serial": serial}


def send_over_http(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Posts a callback and returns the status; the merchant has five seconds for the whole answer."""
    parts = urllib.parse.urlsplit(url)
    connection_class = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connection_class(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", parts.path or "/", body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()

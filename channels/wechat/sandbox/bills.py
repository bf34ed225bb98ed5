"""Trade bills and fund-flow bills, as files in WeChat Pay's format.

Columns: docs/merchant/products/bill-download/format-trade.html and …/format-fundflow.html. Requests:
docs/merchant/apis/native-payment/get-trade-bill.html, doc/v3/merchant/4012556742; download: doc/v3/merchant/4012084430.
"""

import datetime as dt
import gzip
import hashlib
import re
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from channels.wechat.sandbox import ledger
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.bill_files import format_fund_flow_bill, format_trade_bill
from channels.wechat.sandbox.clock import start_of_day, to_beijing
from channels.wechat.sandbox.errors import SandboxApiError, invalid_request
from channels.wechat.sandbox.merchants import SandboxMerchant
from channels.wechat.sandbox.parameters import Parameters

# "微信支付在每日10点后生成昨日交易账单文件"
READY_HOUR = 10
# "仅支持三个月内的账单下载申请"
OLDEST_DAYS = 92
# "该地址5min内有效"
DOWNLOAD_SECONDS = 300
BILL_TYPES = ("ALL", "SUCCESS", "REFUND")
ACCOUNT_TYPES = ("BASIC", "OPERATION", "FEES")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def request_bill(
    bank: Bank, merchant: SandboxMerchant, kind: str, query: Mapping[str, str]
) -> dict[str, str]:
    """Returns the address of a day's bill, and the SHA1 of the uncompressed file. Raises `SandboxApiError`.

    `kind` is `trade` or `fund_flow`.
    """
    given = Parameters("query", query)
    text = given.read_text("bill_date", "账单日期", max_length=10, pattern=_DATE)
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise given.refuse("bill_date", "账单日期", "格式不正确") from error
    if kind == "trade":
        subtype = _read_choice(given, "bill_type", "账单类型", BILL_TYPES)
    else:
        subtype = _read_choice(given, "account_type", "资金账户类型", ACCOUNT_TYPES)
    is_gzip = _read_choice(given, "tar_type", "压缩类型", ("", "GZIP")) == "GZIP"
    now = bank.clock.now()
    _check_date(day, now)
    name = f"{kind}:{subtype}"
    with bank.books.transaction() as db:
        content = _load(db, merchant, name, day)
        token = secrets.token_urlsafe(48)
        db.execute(
            "INSERT INTO bill_tokens (token, mchid, kind, bill_date, is_gzip, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            [token, merchant.mchid, name, text, is_gzip, now + DOWNLOAD_SECONDS],
        )
    suffix = "&tartype=gzip" if is_gzip else ""
    return {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content.encode()).hexdigest(),  # noqa: S324 - as documented
        "download_url": f"{bank.base_url}/v3/billdownload/file?token={token}{suffix}",
    }


def _read_choice(given: Parameters, name: str, label: str, choices: tuple[str, ...]) -> str:
    """The value; the first choice when it is not given."""
    value = given.read_text(name, label, max_length=32, is_required=False)
    if value and value not in choices:
        raise given.refuse(name, label, "枚举值校验失败")
    return value or choices[0]


def _check_date(day: dt.date, now: float) -> None:
    here = to_beijing(now)
    if day >= here.date():
        raise _no_statement()
    if (here.date() - day).days > OLDEST_DAYS:
        raise invalid_request("仅支持三个月内的账单下载申请")
    if day == here.date() - dt.timedelta(days=1) and here.hour < READY_HOUR:
        raise SandboxApiError(400, "STATEMENT_CREATING", "账单生成中，请在上午10点以后再下载")


def _no_statement() -> SandboxApiError:
    return SandboxApiError(400, "NO_STATEMENT_EXIST", "请求的账单文件不存在")


def _load(db: sqlite3.Connection, merchant: SandboxMerchant, name: str, day: dt.date) -> str:
    """The bill, which never changes once it was made: "出账后退款状态不会更新"."""
    key = [merchant.mchid, name, day.isoformat()]
    row = db.execute(
        "SELECT content FROM bills WHERE mchid = ? AND kind = ? AND bill_date = ?", key
    ).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO bills (mchid, kind, bill_date, content) VALUES (?, ?, ?, ?)",
            [*key, _make(db, merchant, name, day)],
        )
        return _load(db, merchant, name, day)
    return str(row["content"])


def _make(db: sqlite3.Connection, merchant: SandboxMerchant, name: str, day: dt.date) -> str:
    since, until = start_of_day(day), start_of_day(day + dt.timedelta(days=1))
    period: list[Any] = [merchant.mchid, since, until]
    kind, _, subtype = name.partition(":")
    if kind == "trade":
        payments = db.execute(
            "SELECT * FROM orders WHERE mchid = ? AND paid_at >= ? AND paid_at < ? ORDER BY paid_at, id",
            period,
        ).fetchall()
        refunds = db.execute(
            "SELECT r.*, o.appid, o.out_trade_no, o.transaction_id, o.openid, o.trade_type, o.description, o.attach"
            " FROM refunds r JOIN orders o ON o.id = r.order_id"
            " WHERE r.mchid = ? AND r.created_at >= ? AND r.created_at < ? ORDER BY r.created_at, r.id",
            period,
        ).fetchall()
        payments = [] if subtype == "REFUND" else payments
        refunds = [] if subtype == "SUCCESS" else refunds
        if not payments and not refunds:
            raise _no_statement()
        return format_trade_bill(subtype, merchant, payments, refunds)
    movements = db.execute(
        "SELECT l.*, o.transaction_id, r.refund_id AS refund_no, r.reason, r.amount AS refund_amount, r.fee"
        " FROM ledger l LEFT JOIN orders o ON o.id = l.order_id LEFT JOIN refunds r ON r.id = l.refund_id"
        " WHERE l.mchid = ? AND l.at >= ? AND l.at < ? ORDER BY l.at, l.id",
        period,
    ).fetchall()
    if not movements or subtype != "BASIC":
        raise _no_statement()
    return format_fund_flow_bill(movements, ledger.get_balance(db, merchant.mchid, before=since))


def download(bank: Bank, merchant: SandboxMerchant, token: str) -> bytes:
    """The file. Raises `SandboxApiError` when the address is unknown or older than five minutes."""
    with bank.books.transaction() as db:
        row = db.execute(
            "SELECT b.content, t.is_gzip FROM bill_tokens t JOIN bills b"
            " ON b.mchid = t.mchid AND b.kind = t.kind AND b.bill_date = t.bill_date"
            " WHERE t.token = ? AND t.mchid = ? AND t.expires_at > ?",
            [token, merchant.mchid, bank.clock.now()],
        ).fetchone()
    if row is None:
        raise invalid_request("下载地址无效或已过期")
    content = str(row["content"]).encode()
    return gzip.compress(content, mtime=0) if row["is_gzip"] else content

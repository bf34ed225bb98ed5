"""What a merchant offers to a customer: a signed page (page pay, wap pay) or a QR code (precreate).

An offer is not a trade yet: queries answer ACQ.TRADE_NOT_EXIST and close cannot close it, while the page or the code
still works until it expires (developer.aliyun.com/article/710933: when each product creates the order).
"""

import re
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from channels.alipay.sandbox import apps
from channels.alipay.sandbox.amounts import read_yuan
from channels.alipay.sandbox.clock import read_time, write_time
from channels.alipay.sandbox.content import Content, read_address, read_text
from channels.alipay.sandbox.refusals import business, invalid_field

QR_CODE_LIFE = timedelta(
    hours=2
)  # page of alipay.trade.precreate: the code of an order is valid for two hours
OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_]{1,64}")  # "at most 64 letters, digits and underscores": open/028r8t
NOT_IN_SUBJECT = "/=&"  # "no special characters, such as /, = and &": open/028r8t, subject
LONGEST = {"subject": 256, "body": 128, "passback_params": 512}  # open/028r8t
_TIMEOUT = re.compile(r"([1-9][0-9]{0,5})([mhd])|1c")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST_TIMEOUT = timedelta(days=15)  # timeout_express: 1m to 15d, and 15d when it is empty


@dataclass(frozen=True)
class Offer:
    """`valid_until`: when an unopened offer ends; `time_expire`, `timeout_seconds`: when its trade ends unpaid."""

    token: str
    app_id: str
    product: str
    out_trade_no: str
    total_fen: int
    subject: str
    body: str
    passback_params: str
    notify_url: str
    return_url: str
    quit_url: str
    charset: str
    valid_until: str | None
    time_expire: str | None
    timeout_seconds: int | None

    def trade_expires_at(self, created: datetime) -> str:
        if self.time_expire is not None:
            return self.time_expire
        seconds = self.timeout_seconds or LONGEST_TIMEOUT.total_seconds()
        return write_time(created + timedelta(seconds=seconds))


def make_offer(
    *, app: apps.App, product: str, content: Content, common: Mapping[str, str], now: datetime
) -> Offer:
    """Checks biz_content against the description of its fields. Raises Refusal."""
    accepted = (apps.FACE_TO_FACE, apps.ORDER_CODE, None) if product == apps.FACE_TO_FACE else (product,)
    if content.get("product_code") not in accepted:
        raise invalid_field("product_code", f"应为 {product}")
    try:
        total_fen = read_yuan(content.get("total_amount"))
    except ValueError:
        raise invalid_field(
            "total_amount", "单位为元，精确到小数点后两位，取值范围 [0.01,100000000]"
        ) from None
    subject = _text(content, "subject")
    if not subject or any(character in subject for character in NOT_IN_SUBJECT):
        raise invalid_field("subject", "不可为空，不可使用特殊字符 / = &")
    seller_id = _text(content, "seller_id")
    if seller_id not in ("", app.seller_id):
        raise business("ACQ.INVALID_RECEIVE_ACCOUNT")
    time_expire = _time_expire(content, now)
    timeout = _timeout(content, "timeout_express")
    return Offer(
        token=secrets.token_hex(12),
        app_id=app.app_id,
        product=product,
        out_trade_no=_out_trade_no(content),
        total_fen=total_fen,
        subject=subject,
        body=_text(content, "body"),
        passback_params=_text(content, "passback_params"),
        notify_url=read_address(common, "notify_url"),
        return_url=read_address(common, "return_url") if product != apps.FACE_TO_FACE else "",
        quit_url=read_address(content, "quit_url") if product == apps.WAP_PAY else "",
        charset=common["charset"],
        valid_until=_valid_until(content, product, time_expire, now),
        time_expire=None if time_expire is None else write_time(time_expire),
        timeout_seconds=None if timeout is None else int(timeout.total_seconds()),
    )


def save(connection: sqlite3.Connection, offer: Offer) -> None:
    fields = asdict(offer)
    names = ", ".join(fields)
    values = ", ".join(f":{name}" for name in fields)
    connection.execute(f"INSERT INTO offers ({names}) VALUES ({values})", fields)  # noqa: S608 - names of a dataclass


def get(connection: sqlite3.Connection, token: str) -> Offer | None:
    row = connection.execute("SELECT * FROM offers WHERE token = ?", (token,)).fetchone()
    return None if row is None else Offer(**dict(row))


def latest_of(connection: sqlite3.Connection, *, app_id: str, out_trade_no: str) -> Offer | None:
    row = connection.execute(
        "SELECT * FROM offers WHERE app_id = ? AND out_trade_no = ? ORDER BY rowid DESC LIMIT 1",
        (app_id, out_trade_no),
    ).fetchone()
    return None if row is None else Offer(**dict(row))


def _text(content: Content, name: str) -> str:
    return read_text(content, name, longest=LONGEST.get(name, 256))


def _out_trade_no(content: Content) -> str:
    value = content.get("out_trade_no")
    if not isinstance(value, str) or not OUT_TRADE_NO.fullmatch(value):
        raise invalid_field("out_trade_no", "64个字符以内，仅支持字母、数字、下划线")
    return value


def _time_expire(content: Content, now: datetime) -> datetime | None:
    """`yyyy-MM-dd HH:mm:ss`, and without seconds as older versions of open/028r8t say."""
    text = _text(content, "time_expire")
    if not text:
        return None
    try:
        moment = read_time(text if len(text) > 16 else f"{text}:00")
    except ValueError:
        raise invalid_field("time_expire", "格式为 yyyy-MM-dd HH:mm:ss") from None
    if moment <= now:
        raise business("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR")
    return moment


def _timeout(content: Content, name: str) -> timedelta | None:
    """1m to 15d in minutes, hours or days, no decimals. 1c (the end of the day) is not supported here."""
    text = _text(content, name)
    if not text:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None or match[1] is None or int(match[1]) * _UNITS[match[2]] > LONGEST_TIMEOUT:
        raise invalid_field(name, "取值范围 1m～15d")
    return int(match[1]) * _UNITS[match[2]]


def _valid_until(content: Content, product: str, time_expire: datetime | None, now: datetime) -> str | None:
    """A signed page has no other end than time_expire; a QR code ends after two hours at the latest."""
    if product != apps.FACE_TO_FACE:
        return None if time_expire is None else write_time(time_expire)
    life = _timeout(content, "qr_code_timeout_express") or QR_CODE_LIFE
    return write_time(min(now + life, time_expire or now + life))

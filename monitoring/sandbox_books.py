"""Reads the books of the sandboxes of WeChat Pay and Alipay, where the platform uses them: docs/WECHAT-SANDBOX.md.

The real channels have no books to read: `manage.py reconcile` compares their daily statements.
"""

import datetime as dt
import json
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

BEIJING = ZoneInfo("Asia/Shanghai")
TIMEOUT_SECONDS = 10.0
# One money movement: our reference, its kind, the amount in fen and the time.
Movement = tuple[str, str, int, dt.datetime]


def read_sandbox_books() -> Mapping[str, str | None]:
    """Returns the totals of each reference as JSON, by channel. None for a channel that uses no sandbox of this
    machine, and for a sandbox that does not answer."""
    return read_books_at(settings.WECHAT_API_BASE, settings.ALIPAY_GATEWAY_URL)


def read_books_at(wechat_address: str, alipay_address: str) -> Mapping[str, str | None]:
    """Like `read_sandbox_books`, of the sandboxes at these addresses."""
    return {"wechat": _read(wechat_address, _read_wechat), "alipay": _read(alipay_address, _read_alipay)}


def _read(address: str, read_movements: Any) -> str | None:
    parts = urllib.parse.urlsplit(address)
    if parts.hostname not in ("127.0.0.1", "localhost"):
        return None
    try:
        return _add_up(read_movements(f"{parts.scheme}://{parts.netloc}"))
    except (OSError, ValueError) as error:
        log.warning("consistency.sandbox_unreadable", address=address, reason=str(error))
        return None


def _read_wechat(url: str) -> Iterator[Movement]:
    for entry in _fetch(f"{url}/sandbox/books")["entries"]:
        if entry["out_trade_no"]:
            at = dt.datetime.fromtimestamp(entry["at"], dt.UTC)
            yield entry["out_trade_no"], entry["kind"], entry["amount"], at


def _read_alipay(url: str) -> Iterator[Movement]:
    for app in _fetch(f"{url}/control/apps"):
        query = urllib.parse.urlencode({"seller_id": app["seller_id"]})
        for entry in _fetch(f"{url}/control/ledger?{query}")["entries"]:
            if entry["out_trade_no"]:
                at = dt.datetime.fromisoformat(entry["booked_at"]).replace(tzinfo=BEIJING)
                # Alipay allows no hyphens: PAY-… is PAY_… there.
                yield entry["out_trade_no"].replace("_", "-"), entry["kind"], entry["amount_fen"], at


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - an address of this machine
        return json.load(answer)


def _add_up(movements: Iterable[Movement]) -> str:
    totals: dict[str, dict[str, Any]] = defaultdict(lambda: {"taken": 0, "refunded": 0, "last_at": ""})
    for reference, kind, amount, at in movements:
        total = totals[reference]
        if kind == "payment":
            total["taken"] += amount
        elif kind in ("refund", "refund_return"):
            total["refunded"] -= amount
        total["last_at"] = max(total["last_at"], at.astimezone(dt.UTC).isoformat())
    return json.dumps([{"reference": reference, **total} for reference, total in totals.items()])

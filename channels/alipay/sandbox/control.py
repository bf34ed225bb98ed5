"""The control API under /control/: faults, the clock, the hands of customer and merchant, the ledger.

JSON in and out, for callers on this machine only. docs/ALIPAY-SANDBOX.md lists the calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from channels.alipay.sandbox import (
    apps,
    ledger,
    notices,
    offers,
    refunds,
    signatures,
    trade_records,
    trades,
    upkeep,
)
from channels.alipay.sandbox.amounts import read_yuan
from channels.alipay.sandbox.books import Bank, Books
from channels.alipay.sandbox.clock import read_time, write_time
from channels.alipay.sandbox.faults import make_fault
from channels.alipay.sandbox.notice_sender import NoticeSender
from channels.alipay.sandbox.refusals import Refusal
from channels.alipay.sandbox.trade_records import Trade

Fields = Mapping[str, Any]


class Control:
    def __init__(self, bank: Bank, sender: NoticeSender) -> None:
        self._bank = bank
        self._sender = sender
        self._calls: Mapping[tuple[str, str], Callable[[Fields], object]] = {
            ("GET", "apps"): self.list_apps,
            ("POST", "apps"): self.register_app,
            ("GET", "clock"): self.show_clock,
            ("POST", "clock"): self.move_clock,
            ("GET", "faults"): lambda fields: self._bank.faults.list(),
            ("POST", "faults"): self.add_fault,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "unreachable"): self.check_seconds,
            ("POST", "open"): self.open_trade,
            ("POST", "pay"): self.pay_trade,
            ("POST", "refund"): self.refund_in_console,
            ("POST", "withdraw"): lambda fields: self._transfer(fields, sign=-1),
            ("POST", "deposit"): lambda fields: self._transfer(fields, sign=1),
            ("GET", "trades"): self.list_trades,
            ("GET", "ledger"): self.list_ledger,
            ("GET", "notices"): self.list_notices,
            ("POST", "notices/send"): lambda fields: {"attempts": self._sender.send_due()},
            ("POST", "notices/repeat"): self.repeat_notice,
        }

    def handle(self, method: str, name: str, fields: Fields) -> tuple[int, object]:
        """Returns the status and the JSON value of the answer. Errors name the field."""
        call = self._calls.get((method, name))
        if call is None:
            return 404, {"error": f"no call {method} /control/{name}"}
        try:
            _check_types(fields)
            result = call(fields)
        except KeyError as error:
            return 400, {"error": f"{error.args[0]}: missing"}
        except (ValueError, TypeError, OverflowError) as error:
            return 400, {"error": str(error)}
        except Refusal as refusal:
            return 409, refusal.as_answer()
        self._sender.wake_up()
        return 200, result

    def list_apps(self, fields: Fields) -> object:
        with self._bank.open_books() as books:
            return [_show_app(app) for app in apps.all_of(books.connection)]

    def register_app(self, fields: Fields) -> object:
        """Without alipay_private_key a key is generated, which takes a moment."""
        known = {"app_id", "seller_id", "name", "products", "refund_days", "fee_basis_points"}
        private_key = fields.get("alipay_private_key") or signatures.write_private_key(
            signatures.make_private_key()
        )
        with self._bank.open_books() as books:
            app = apps.register(
                books.connection,
                app_public_key=fields["app_public_key"],
                alipay_private_key=private_key,
                **{name: value for name, value in fields.items() if name in known},
            )
        return _show_app(app)

    def show_clock(self, fields: Fields) -> object:
        return {"now": write_time(self._bank.clock.now())}

    def move_clock(self, fields: Fields) -> object:
        """`state`: stopped or running; `set`: a time in Beijing; `advance_seconds`."""
        clock = self._bank.clock
        if "state" in fields:
            {"stopped": clock.stop, "running": clock.run}[fields["state"]]()
        if "set" in fields:
            clock.set(read_time(fields["set"]))
        if "advance_seconds" in fields:
            clock.advance(timedelta(seconds=fields["advance_seconds"]))
        upkeep.run(self._bank)
        return self.show_clock(fields)

    def add_fault(self, fields: Fields) -> object:
        self._bank.faults.add(make_fault(**fields))
        return self._bank.faults.list()

    def clear_faults(self, fields: Fields) -> object:
        self._bank.faults.clear()
        return []

    def check_seconds(self, fields: Fields) -> object:
        """The server closes its door after this answer."""
        seconds = fields["seconds"]
        if not isinstance(seconds, (int, float)) or not 0 < seconds <= 9999:
            raise ValueError("seconds: more than 0, at most 9999")
        return {"seconds": seconds}

    def open_trade(self, fields: Fields) -> object:
        """The customer scans the code, or logs in on the page that was opened last."""
        upkeep.run(self._bank)
        with self._bank.open_books() as books:
            return _show_trade(_open(books, fields))

    def pay_trade(self, fields: Fields) -> object:
        upkeep.run(self._bank)
        with self._bank.open_books() as books:
            return _show_trade(trades.pay(books, _open(books, fields)))

    def refund_in_console(self, fields: Fields) -> object:
        """The merchant refunds in Alipay's console."""
        upkeep.run(self._bank)
        with self._bank.open_books() as books:
            trade = _find(books, fields)
            number = fields.get("number") or f"console{write_time(books.now)}"
            refunds.refund_in_console(books, trade, amount_fen=read_yuan(fields["amount"]), number=number)
            return _show_trade(trade_records.get(books.connection, trade.trade_no))

    def list_trades(self, fields: Fields) -> object:
        upkeep.run(self._bank)
        with self._bank.open_books() as books:
            return [
                _show_trade(trade)
                for trade in trade_records.all_of(books.connection, fields.get("seller_id", ""))
            ]

    def list_ledger(self, fields: Fields) -> object:
        with self._bank.open_books() as books:
            found = ledger.entries(books.connection, seller_id=fields["seller_id"])
            return {
                "balance_fen": ledger.balance_of(books, fields["seller_id"]),
                "entries": [asdict(e) for e in found],
            }

    def list_notices(self, fields: Fields) -> object:
        with self._bank.open_books() as books:
            found = notices.all_of(books.connection, trade_no=fields.get("trade_no", ""))
        return [asdict(notice) for notice in found]

    def repeat_notice(self, fields: Fields) -> object:
        with self._bank.open_books() as books:
            return {"notices": notices.repeat(books, fields["notify_id"])}

    def _transfer(self, fields: Fields, *, sign: int) -> object:
        with self._bank.open_books() as books:
            amount_fen = sign * read_yuan(fields["amount"])
            ledger.book_transfer(books, seller_id=fields["seller_id"], amount_fen=amount_fen)
            return {"balance_fen": ledger.balance_of(books, fields["seller_id"])}


def _check_types(fields: Fields) -> None:
    for name, value in fields.items():
        if isinstance(value, (list, dict)) and name not in ("fields", "products"):
            raise ValueError(f"{name}: a text or a number")


def _find(books: Books, fields: Fields) -> Trade:
    app = apps.get(books.connection, fields["app_id"])
    trade = trade_records.find_by_number(
        books.connection, seller_id=app.seller_id, out_trade_no=fields["out_trade_no"]
    )
    if trade is None:
        raise ValueError(f"out_trade_no: no trade {fields['out_trade_no']}")
    return trade


def _open(books: Books, fields: Fields) -> Trade:
    app = apps.get(books.connection, fields["app_id"])
    offer = offers.latest_of(books.connection, app_id=app.app_id, out_trade_no=fields["out_trade_no"])
    if offer is None:
        raise ValueError(
            f"out_trade_no: nobody has opened a page or made a code for {fields['out_trade_no']}"
        )
    return trades.open_offer(books, offer)


def _show_app(app: apps.App) -> dict[str, object]:
    """Without the private key."""
    return {
        "app_id": app.app_id,
        "seller_id": app.seller_id,
        "name": app.name,
        "products": app.products.split(","),
        "refund_days": app.refund_days,
        "fee_basis_points": app.fee_basis_points,
        "alipay_public_key": app.alipay_public_key,
    }


def _show_trade(trade: Trade) -> dict[str, object]:
    return asdict(trade)

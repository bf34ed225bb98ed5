"""The control API for tests, below /sandbox/: JSON, from this machine only. docs/WECHAT-SANDBOX.md lists it."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from channels.wechat.sandbox import operations, reading
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.customer import CannotPay
from channels.wechat.sandbox.errors import SandboxApiError
from channels.wechat.sandbox.faults import Fault, FaultKind
from channels.wechat.sandbox.merchants import SigningMode
from channels.wechat.sandbox.messages import SandboxAnswer, SandboxRequest
from channels.wechat.sandbox.schedule import run_due

_Handler = Callable[[Bank, Mapping[str, Any]], object]


_MAX_SECONDS = 10 * 365 * 86400


class BadCommand(Exception):
    """The command is wrong: the text says what."""


def serve(bank: Bank, request: SandboxRequest) -> SandboxAnswer:
    handler = _HANDLERS.get((request.method, request.path))
    if handler is None:
        return _format(404, {"error": f"there is no {request.method} {request.path}"})
    try:
        result = handler(bank, _read_values(request))
    except CannotPay as error:
        return _format(409, {"error": str(error)})
    except SandboxApiError as error:
        return _format(error.status, error.to_json())
    except BadCommand as error:
        return _format(400, {"error": str(error)})
    return _format(200, result)


def _read_values(request: SandboxRequest) -> Mapping[str, Any]:
    if request.method == "GET":
        return request.query
    # A page of another origin cannot send this type without asking first.
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise BadCommand("Content-Type must be application/json")
    try:
        value = json.loads(request.body or b"{}")
    except ValueError as error:
        raise BadCommand(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadCommand("the body must be a JSON object")
    return value


def _format(status: int, value: object) -> SandboxAnswer:
    return SandboxAnswer(status, json.dumps(value, ensure_ascii=False).encode())


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise BadCommand(f"{name} must be a text")
    return value


def _mchid(bank: Bank, values: Mapping[str, Any]) -> str:
    mchid = _text(values, "mchid")
    if mchid not in bank.merchants:
        raise BadCommand(f"there is no merchant {mchid}: {', '.join(bank.merchants)}")
    return mchid


def _whole_number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadCommand(f"{name} must be a whole number")
    return value


def _seconds(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _MAX_SECONDS:
        raise BadCommand(f"{name} must be a number of at most ten years")
    return float(value)


def _pay(bank: Bank, values: Mapping[str, Any]) -> object:
    is_forced = values.get("force") is True
    transaction_id = operations.pay(
        bank, _mchid(bank, values), _text(values, "out_trade_no"), is_forced=is_forced
    )
    return {"transaction_id": transaction_id}


def _close(bank: Bank, values: Mapping[str, Any]) -> object:
    return {"closed": operations.close_by_system(bank, _mchid(bank, values), _text(values, "out_trade_no"))}


def _refund(bank: Bank, values: Mapping[str, Any]) -> object:
    amount = _whole_number(values, "amount")
    if amount <= 0:
        raise BadCommand("amount must be positive")
    out_trade_no, reason = _text(values, "out_trade_no"), str(values.get("reason") or "")
    return operations.refund_in_merchant_platform(bank, _mchid(bank, values), out_trade_no, amount, reason)


def _settle_refund(bank: Bank, values: Mapping[str, Any]) -> object:
    status = _text(values, "status")
    if status not in ("SUCCESS", "ABNORMAL", "CLOSED"):
        raise BadCommand("status must be SUCCESS, ABNORMAL or CLOSED")
    operations.settle_refund(bank, _mchid(bank, values), _text(values, "out_refund_no"), status)
    return {}


def _move_money(bank: Bank, values: Mapping[str, Any]) -> object:
    amount = _whole_number(values, "amount")
    if amount == 0:
        raise BadCommand("amount must not be 0")
    return {"balance": operations.move_money(bank, _mchid(bank, values), amount)}


def _forge(bank: Bank, values: Mapping[str, Any]) -> object:
    operations.forge_payment(bank, _mchid(bank, values), _text(values, "out_trade_no"))
    return {}


def _resend(bank: Bank, values: Mapping[str, Any]) -> object:
    return {"callbacks": operations.resend(bank, _text(values, "event_id"))}


def _advance_clock(bank: Bank, values: Mapping[str, Any]) -> object:
    bank.advance_clock(_seconds(values, "advance_seconds"))
    return {"done": run_due(bank), **_show_clock(bank, {})}


def _show_clock(bank: Bank, _values: Mapping[str, Any]) -> dict[str, object]:
    return {"now": format_rfc3339(bank.clock.now()), "offset_seconds": bank.clock.offset_seconds}


def _plan_fault(bank: Bank, values: Mapping[str, Any]) -> object:
    names = {field.name for field in dataclasses.fields(Fault)}
    if unknown := sorted(values.keys() - names):
        raise BadCommand(f"unknown: {', '.join(unknown)}; a fault has {', '.join(sorted(names))}")
    kind = _text(values, "kind")
    if kind not in set(FaultKind):
        raise BadCommand(f"there is no fault {kind}: {', '.join(FaultKind)}")
    if _seconds({"seconds": 0, **values}, "seconds") < 0:
        raise BadCommand("seconds must not be negative")
    if not 200 <= _whole_number({"status": 400, **values}, "status") <= 599:
        raise BadCommand("status must be 200 to 599")
    if values.get("times", 1) is not None and _whole_number({"times": 1, **values}, "times") < 1:
        raise BadCommand("times must be at least 1, or null for always")
    if not isinstance(values.get("fields", {}), dict):
        raise BadCommand("fields must be an object")
    bank.faults.plan(Fault(**{**values, "kind": FaultKind(kind)}))
    return {}


def _list_faults(bank: Bank, _values: Mapping[str, Any]) -> object:
    return [dataclasses.asdict(fault) for fault in bank.faults.planned()]


def _clear_faults(bank: Bank, _values: Mapping[str, Any]) -> object:
    bank.faults.clear()
    return {}


def _list_merchants(bank: Bank, _values: Mapping[str, Any]) -> object:
    return [
        {name: getattr(merchant, name) for name in ("mchid", "appid", "certificate_serial", *_SETTINGS)}
        for merchant in bank.merchants.values()
    ]


_SETTINGS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "signing_mode": lambda values: SigningMode(_text(values, "signing_mode")),
    "callback_public_key_percent": lambda values: _seconds(values, "callback_public_key_percent"),
    "refund_notify_url": lambda values: str(values["refund_notify_url"]),
    "refund_seconds": lambda values: _seconds(values, "refund_seconds"),
    "fee_per_myriad": lambda values: _whole_number(values, "fee_per_myriad"),
}


def _change_merchant(bank: Bank, values: Mapping[str, Any]) -> object:
    """The changes last until the sandbox restarts."""
    merchant = bank.merchants[_mchid(bank, values)]
    if unknown := sorted(values.keys() - _SETTINGS.keys() - {"mchid"}):
        raise BadCommand(f"unknown: {', '.join(unknown)}; a merchant has {', '.join(_SETTINGS)}")
    if values.get("signing_mode", SigningMode.CERTIFICATE) not in set(SigningMode):
        raise BadCommand(f"signing_mode must be one of {', '.join(SigningMode)}")
    for name in values.keys() & _SETTINGS.keys():
        setattr(merchant, name, _SETTINGS[name](values))
    return {}


_HANDLERS: Mapping[tuple[str, str], _Handler] = {
    ("GET", "/sandbox/books"): lambda bank, values: reading.read_books(
        bank.books, values.get("mchid", "")
    ).to_json(),
    ("GET", "/sandbox/callbacks"): lambda bank, values: operations.list_callbacks(
        bank, values.get("mchid", "")
    ),
    ("GET", "/sandbox/merchants"): _list_merchants,
    ("POST", "/sandbox/merchants"): _change_merchant,
    ("GET", "/sandbox/clock"): _show_clock,
    ("POST", "/sandbox/clock"): _advance_clock,
    ("GET", "/sandbox/faults"): _list_faults,
    ("POST", "/sandbox/faults"): _plan_fault,
    ("DELETE", "/sandbox/faults"): _clear_faults,
    ("POST", "/sandbox/pay"): _pay,
    ("POST", "/sandbox/close"): _close,
    ("POST", "/sandbox/refunds"): _refund,
    ("POST", "/sandbox/refunds/settle"): _settle_refund,
    ("POST", "/sandbox/money"): _move_money,
    ("POST", "/sandbox/callbacks/forge"): _forge,
    ("POST", "/sandbox/callbacks/resend"): _resend,
    ("POST", "/sandbox/run-due"): lambda bank, _values: {"done": run_due(bank)},
}

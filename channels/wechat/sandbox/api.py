"""The addresses of APIv3: verifies the request, plays the planned fault, executes, signs the answer."""

import json
import re
import secrets
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from channels.wechat.sandbox import bills, orders, refunds
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.errors import SandboxApiError, param_error, resource_not_exists, system_error
from channels.wechat.sandbox.faults import Fault, FaultKind, replace_fields
from channels.wechat.sandbox.merchants import SandboxMerchant
from channels.wechat.sandbox.messages import HangUp, SandboxAnswer, SandboxRequest
from channels.wechat.sandbox.parameters import Parameters, parse_body
from channels.wechat.sandbox.prepay import TradeType
from channels.wechat.sandbox.signatures import (
    PROBE_PREFIX,
    choose_answer_serial,
    encode_json,
    list_certificates,
    sign_headers,
    verify_request,
)

# A JSON object, a file (bytes, whose answer is not signed), or nothing (204).
Result = dict[str, Any] | bytes | None


@dataclass(frozen=True, slots=True)
class SandboxCall:
    bank: Bank
    merchant: SandboxMerchant
    request: SandboxRequest
    # The number in the path.
    number: str

    def read_body(self) -> dict[str, Any]:
        return parse_body(self.request.body)

    def check_mchid(self, values: dict[str, Any], location: str) -> None:
        given = Parameters(location, values)
        if given.read_text("mchid", "直连商户号", max_length=32) != self.merchant.mchid:
            raise given.refuse("mchid", "直连商户号", "与签名的商户号不一致")


def _prepay(trade_type: TradeType) -> Callable[[SandboxCall], Result]:
    return lambda call: orders.prepay(call.bank, call.merchant, trade_type, call.read_body())


def _query_by_out_trade_no(call: SandboxCall) -> Result:
    call.check_mchid(call.request.query, "query")
    return orders.query_by_out_trade_no(call.bank, call.merchant, call.number)


def _query_by_transaction_id(call: SandboxCall) -> Result:
    call.check_mchid(call.request.query, "query")
    return orders.query_by_transaction_id(call.bank, call.merchant, call.number)


def _close(call: SandboxCall) -> Result:
    call.check_mchid(call.read_body(), "body")
    orders.close(call.bank, call.merchant, call.number)
    return None


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: re.Pattern[str]
    operation: str
    execute: Callable[[SandboxCall], Result]


def _route(method: str, path: str, operation: str, execute: Callable[[SandboxCall], Result]) -> _Route:
    return _Route(method, re.compile(path.replace("{number}", "([^/]+)")), operation, execute)


ROUTES = (
    _route("POST", "/v3/pay/transactions/native", "prepay", _prepay(TradeType.NATIVE)),
    _route("POST", "/v3/pay/transactions/jsapi", "prepay", _prepay(TradeType.JSAPI)),
    _route("POST", "/v3/pay/transactions/h5", "prepay", _prepay(TradeType.H5)),
    _route("GET", "/v3/pay/transactions/out-trade-no/{number}", "query", _query_by_out_trade_no),
    _route("GET", "/v3/pay/transactions/id/{number}", "query", _query_by_transaction_id),
    _route("POST", "/v3/pay/transactions/out-trade-no/{number}/close", "close", _close),
    _route(
        "POST",
        "/v3/refund/domestic/refunds",
        "refund",
        lambda call: refunds.apply(call.bank, call.merchant, call.read_body()),
    ),
    _route(
        "GET",
        "/v3/refund/domestic/refunds/{number}",
        "query_refund",
        lambda call: refunds.query(call.bank, call.merchant, call.number),
    ),
    _route(
        "GET",
        "/v3/certificates",
        "certificates",
        lambda call: list_certificates(call.bank.platform, call.merchant),
    ),
    _route(
        "GET",
        "/v3/bill/tradebill",
        "trade_bill",
        lambda call: dict(bills.request_bill(call.bank, call.merchant, "trade", call.request.query)),
    ),
    _route(
        "GET",
        "/v3/bill/fundflowbill",
        "fund_flow_bill",
        lambda call: dict(bills.request_bill(call.bank, call.merchant, "fund_flow", call.request.query)),
    ),
    _route(
        "GET",
        "/v3/billdownload/file",
        "download_bill",
        lambda call: bills.download(call.bank, call.merchant, call.request.query.get("token", "")),
    ),
)


def serve(bank: Bank, request: SandboxRequest) -> SandboxAnswer | HangUp:
    found = _find_route(request)
    if found is None:
        return _format(resource_not_exists("请求的资源不存在"))
    route, number = found
    fault = bank.faults.take("call", route.operation, _get_mchid(request), _get_numbers(request, number))
    kind = fault.kind if fault else None
    match kind:
        case FaultKind.LOST_REQUEST:
            return HangUp.CLOSE
        case FaultKind.RESET:
            return HangUp.RESET
        case FaultKind.BAD_GATEWAY:
            return SandboxAnswer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        case FaultKind.SLOW_START:
            assert fault is not None
            time.sleep(fault.seconds)
    answer = _execute(bank, route, request, number, fault)
    match kind:
        case FaultKind.LOST_ANSWER:
            return HangUp.CLOSE
        case FaultKind.RESET_AFTER:
            return HangUp.RESET
        case FaultKind.SLOW:
            assert fault is not None
            time.sleep(fault.seconds)
    return answer


def _find_route(request: SandboxRequest) -> tuple[_Route, str] | None:
    for route in ROUTES:
        match = route.path.fullmatch(request.path)
        if match and route.method == request.method:
            return route, urllib.parse.unquote(match[1]) if match.groups() else ""
    return None


def _get_mchid(request: SandboxRequest) -> str:
    """The merchant that the request claims, to find its fault."""
    match = re.search(r'mchid="([^"]*)"', request.headers.get("authorization", ""))
    return match[1] if match else ""


def _get_numbers(request: SandboxRequest, number: str) -> list[str]:
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        body = {}
    values = [body.get("out_trade_no"), body.get("out_refund_no")] if isinstance(body, dict) else []
    return [value for value in (number, *values) if isinstance(value, str) and value]


def _execute(
    bank: Bank, route: _Route, request: SandboxRequest, number: str, fault: Fault | None
) -> SandboxAnswer:
    """An answer is signed once the request's own signature was verified: doc/global/v3/zh/4012354982."""
    try:
        merchant = verify_request(
            bank.merchants,
            request.headers.get("authorization", ""),
            request.method,
            request.url,
            request.body,
        )
    except SandboxApiError as error:
        return _format(error)
    status, result = _run(SandboxCall(bank, merchant, request, number), route, fault)
    if isinstance(result, bytes):
        return SandboxAnswer(status, result, "application/octet-stream")
    if fault is not None and fault.kind is FaultKind.CONTRADICTION and result is not None:
        result = replace_fields(result, fault.fields)
    body = b"" if result is None else encode_json(result)
    serial = choose_answer_serial(bank.platform, merchant, request.headers.get("wechatpay-serial", ""))
    headers = _sign(bank, serial, body, fault)
    return SandboxAnswer(status, body, headers={**headers, "Request-ID": _make_request_id()})


def _run(call: SandboxCall, route: _Route, fault: Fault | None) -> tuple[int, dict[str, Any] | bytes | None]:
    try:
        _check_headers(call)
        if fault is not None and fault.kind is FaultKind.SYSTEM_ERROR:
            raise system_error()
        if fault is not None and fault.kind is FaultKind.ERROR:
            if fault.status < 300:
                return fault.status, None
            raise SandboxApiError(fault.status, fault.code, fault.message or fault.code)
        result = route.execute(call)
        if fault is not None and fault.kind is FaultKind.SYSTEM_ERROR_AFTER:
            raise system_error()
    except SandboxApiError as error:
        return error.status, error.to_json()
    return (204 if result is None else 200), result


def _check_headers(call: SandboxCall) -> None:
    headers = call.request.headers
    if not headers.get("accept") or not headers.get("user-agent"):
        raise param_error("header", "Accept", "Http头缺少Accept或User-Agent")
    serial = headers.get("wechatpay-serial")
    known = (call.merchant.public_key_id, call.bank.platform.certificate_serial)
    if serial and serial not in known:
        raise SandboxApiError(400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误")


def _sign(bank: Bank, serial: str, body: bytes, fault: Fault | None) -> dict[str, str]:
    match fault.kind if fault else None:
        case FaultKind.NO_SIGNATURE:
            return {}
        case FaultKind.BAD_SIGNATURE:
            return sign_headers(bank.platform, serial, body + b" ")
        case FaultKind.STALE_TIMESTAMP:
            return sign_headers(bank.platform, serial, body, timestamp=int(time.time()) - 3600)
        case FaultKind.UNKNOWN_SERIAL:
            return sign_headers(bank.platform, serial, body) | {
                "Wechatpay-Serial": secrets.token_hex(20).upper()
            }
        case FaultKind.PROBE_SIGNATURE:
            headers = sign_headers(bank.platform, serial, body)
            headers["Wechatpay-Signature"] = PROBE_PREFIX + headers["Wechatpay-Signature"]
            return headers
    return sign_headers(bank.platform, serial, body)


def _format(error: SandboxApiError) -> SandboxAnswer:
    return SandboxAnswer(
        error.status, encode_json(error.to_json()), headers={"Request-ID": _make_request_id()}
    )


def _make_request_id() -> str:
    return f"{secrets.token_hex(20).upper()}-0"

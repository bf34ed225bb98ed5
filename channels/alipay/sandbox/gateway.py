"""/gateway.do: reads and verifies a request, runs its method, and signs the answer.

Requests: common parameters in the query string or in the form body, biz_content as JSON (page of each API). Answers:
`{"alipay_trade_query_response": {…}, "sign": "…"}`, always status 200, Content-Type text/html, in the charset of the
request. Slashes are written `\\/`, as in recorded answers: a client must verify the text that it received.
The gateway looks at the app_id before the signature, and answers without a signature when it does not know the app.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qsl

from channels.alipay.sandbox import api, apps, signatures, upkeep
from channels.alipay.sandbox.books import Bank, Books
from channels.alipay.sandbox.clock import read_time
from channels.alipay.sandbox.faults import NETWORK_FAULTS, Ending, Fault, SandboxOperation
from channels.alipay.sandbox.refusals import MESSAGES, Refusal, business, invalid, missing

CHARSETS = ("utf-8", "gbk", "gb2312")
DEFAULT_CHARSET = "gbk"  # the gateway's own, when it cannot read the request's
PAGE_METHODS = {"alipay.trade.page.pay": apps.PAGE_PAY, "alipay.trade.wap.pay": apps.WAP_PAY}


@dataclass(frozen=True, slots=True)
class Method:
    operation: SandboxOperation
    run: Callable[[Books, apps.App, api.SandboxCall], dict[str, object]]


METHODS: Mapping[str, Method] = {
    "alipay.trade.precreate": Method(SandboxOperation.CREATE, api.precreate),
    "alipay.trade.query": Method(SandboxOperation.QUERY, api.query),
    "alipay.trade.close": Method(SandboxOperation.CANCEL, api.close),
    "alipay.trade.cancel": Method(SandboxOperation.CANCEL, api.cancel),
    "alipay.trade.refund": Method(SandboxOperation.REFUND, api.refund),
    "alipay.trade.fastpay.refund.query": Method(SandboxOperation.QUERY_REFUND, api.query_refund),
    "alipay.data.dataservice.bill.downloadurl.query": Method(SandboxOperation.BILL, api.query_bill_address),
}


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """A request whose signature is right."""

    app: apps.App
    method: str
    common: Mapping[str, str]
    content: Mapping[str, object]

    @property
    def out_trade_no(self) -> str:
        return str(self.content.get("out_trade_no", ""))


@dataclass(frozen=True, slots=True)
class SandboxAnswer:
    """`ending`: how the connection ends; `seconds`: after how long."""

    body: bytes
    charset: str
    ending: Ending = Ending.TRUE_ANSWER
    seconds: float = 0


def read_fields(query: str, body: bytes) -> dict[str, str]:
    """Decodes the parameters in the charset that the query string names; without one in UTF-8."""
    encoding = charset_of(dict(parse_qsl(query)), default="utf-8")
    pairs = parse_qsl(query, keep_blank_values=True, encoding=encoding)
    pairs += parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding=encoding)
    return dict(pairs)


def charset_of(fields: Mapping[str, str], *, default: str = DEFAULT_CHARSET) -> str:
    charset = fields.get("charset", "").lower()
    return charset if charset in CHARSETS else default


def find_app(bank: Bank, fields: Mapping[str, str]) -> apps.App:
    """Raises Refusal, which is answered without a signature."""
    if not fields.get("app_id"):
        raise missing("app-id")
    with bank.database.transaction() as connection:
        app = apps.find(connection, fields["app_id"])
    if app is None:
        raise invalid("app-id")
    return app


def verify(app: apps.App, fields: Mapping[str, str]) -> SandboxRequest:
    """Checks the common parameters and the signature. Raises Refusal."""
    for name, label in (
        ("method", "method"),
        ("sign", "signature"),
        ("sign_type", "signature-type"),
        ("timestamp", "timestamp"),
        ("version", "version"),
    ):
        if not fields.get(name):
            raise missing(label)
    if fields["sign_type"] != "RSA2":  # apps made since 2018 sign with RSA2 only
        raise invalid("signature-type")
    if charset_of(fields, default="") == "":
        raise invalid("charset")
    text = signatures.text_to_sign(fields, without=signatures.NOT_IN_REQUESTS)
    if not signatures.is_signed(
        text.encode(charset_of(fields), "replace"), fields["sign"], app.verifying_key
    ):
        raise invalid("signature", "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配")
    try:
        read_time(fields["timestamp"])
    except ValueError:
        raise invalid("timestamp") from None
    if fields.get("format", "json").lower() != "json":
        raise invalid("format")
    if fields.get("app_auth_token"):
        raise Refusal("20001", "aop.invalid-app-auth-token")  # here no merchant has authorized another's app
    method = fields["method"]
    if method not in METHODS and method not in PAGE_METHODS:
        raise invalid("method")
    _check_permission(app, method)
    return SandboxRequest(app, method, fields, _content(fields))


def _check_permission(app: apps.App, method: str) -> None:
    product = PAGE_METHODS.get(method) or (apps.FACE_TO_FACE if method == "alipay.trade.precreate" else None)
    if product is not None and not app.has_signed(product):
        raise Refusal("40006", "isv.insufficient-isv-permissions")


def _content(fields: Mapping[str, str]) -> dict[str, object]:
    try:
        content = json.loads(fields.get("biz_content") or "{}", parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError):
        raise invalid("parameter", "参数无效：biz_content 不是 JSON") from None
    if not isinstance(content, dict):
        raise invalid("parameter", "参数无效：biz_content 应为 JSON 对象")
    return content


def answer(
    bank: Bank, fields: Mapping[str, str], *, base_url: str, wait: Callable[[float], None]
) -> SandboxAnswer:
    """Runs a method that a merchant's server calls. `wait`: returns after the seconds, or when the server stops."""
    charset, method = charset_of(fields), fields.get("method", "")
    try:
        app = find_app(bank, fields)
    except Refusal as refusal:
        return SandboxAnswer(_write(method, refusal.as_answer(), None, charset), charset)
    try:
        request = verify(app, fields)
    except Refusal as refusal:
        return SandboxAnswer(_write(method, refusal.as_answer(), app, charset), charset)
    operation = METHODS[request.method].operation
    fault = bank.faults.take(operation, app_id=app.app_id, out_trade_no=request.out_trade_no)
    network = NETWORK_FAULTS.get(fault.kind) if fault else None
    if fault is not None and fault.kind == "slow_start":
        wait(fault.seconds or 0)
    result: dict[str, object] = {}
    if network is None or network.takes_effect:
        result = _run(bank, request, base_url, fault if network is None else None)
    if fault is None or network is None or fault.kind == "slow_start":
        return SandboxAnswer(_write(method, result, app, charset), charset)
    return _spoil(request, result, fault, network.ending)


def _run(bank: Bank, request: SandboxRequest, base_url: str, behaviour: Fault | None) -> dict[str, object]:
    upkeep.run(bank)
    call = api.SandboxCall(request.content, request.common, base_url, behaviour)
    try:
        with bank.open_books() as books:
            result = METHODS[request.method].run(books, request.app, call)
    except Refusal as refusal:
        return refusal.as_answer()
    return {"code": "10000", "msg": MESSAGES["10000"], **result}


def _spoil(request: SandboxRequest, result: dict[str, object], fault: Fault, ending: Ending) -> SandboxAnswer:
    """Returns what the fault makes of the answer."""
    charset = charset_of(request.common)
    if ending == Ending.UNAVAILABLE:
        result = Refusal("20000", "isp.unknow-error").as_answer()
    elif ending == Ending.SYSTEM_ERROR:
        result = business("ACQ.SYSTEM_ERROR").as_answer()
    elif ending == Ending.REFUSED:
        result = Refusal(fault.code, fault.sub_code, fault.sub_msg).as_answer()
    elif ending == Ending.CONTRADICTED:
        result = {name: value for name, value in {**result, **fault.fields}.items() if value is not None}
    body = _write(request.method, result, request.app, charset, ending=ending)
    if ending == Ending.GARBAGE:
        body = "<html><body>系统繁忙，请稍后再试</body></html>".encode(charset)
    return SandboxAnswer(body, charset, ending, fault.seconds or 0)


def _write(
    method: str,
    result: Mapping[str, object],
    app: apps.App | None,
    charset: str,
    *,
    ending: Ending | None = None,
) -> bytes:
    name = (
        f"{method.replace('.', '_')}_response"
        if method in METHODS or method in PAGE_METHODS
        else "error_response"
    )
    inner = (
        json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        .replace("/", "\\/")
        .encode(charset, "replace")
    )
    text = b'{"' + name.encode() + b'":' + inner
    if app is None or ending == Ending.UNSIGNED:
        return text + b"}"
    signature = signatures.sign(inner + (b" " if ending == Ending.BAD_SIGNATURE else b""), app.signing_key)
    return text + b',"sign":"' + signature.encode() + b'"}'

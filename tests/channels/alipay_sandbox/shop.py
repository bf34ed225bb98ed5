"""A merchant of the sandbox: signs requests, reads answers, receives notices. Alipay's SDK checks the signatures."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode

import requests
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from channels.alipay.sandbox.server import SandboxServer

PAGE = {"product_code": "FAST_INSTANT_TRADE_PAY"}
WAP = {"product_code": "QUICK_WAP_WAY"}


@dataclass(frozen=True)
class Keys:
    """The keys of all apps of the tests, generated once because that takes long."""

    app: rsa.RSAPrivateKey
    alipay: rsa.RSAPrivateKey

    @property
    def app_public(self) -> str:
        return _public(self.app)

    @property
    def alipay_public(self) -> str:
        return _public(self.alipay)

    @property
    def alipay_private(self) -> str:
        return _private(self.alipay, serialization.PrivateFormat.PKCS8)

    @property
    def app_pkcs1(self) -> str:
        """Returns the private key in the format that alipay-sdk-python requires."""
        return _private(self.app, serialization.PrivateFormat.TraditionalOpenSSL)


def _public(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()


def _private(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    der = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return base64.b64encode(der).decode()


@dataclass
class Shop:
    sandbox: SandboxServer
    keys: Keys
    app_id: str
    seller_id: str
    notify_url: str
    http: requests.Session = field(default_factory=requests.Session)
    number: int = 0

    def new_number(self) -> str:
        self.number += 1
        return f"{self.app_id}_{self.number}"

    def sign(self, method: str, content: Any, /, **common: str) -> dict[str, str]:
        fields = {
            "app_id": self.app_id,
            "method": method,
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": "2026-11-28 10:00:00",
            "version": "1.0",
            "biz_content": content if isinstance(content, str) else json.dumps(content, ensure_ascii=False),
            **common,
        }
        message = get_sign_content({name: value for name, value in fields.items() if value})
        signature = self.keys.app.sign(message.encode(fields["charset"]), padding.PKCS1v15(), hashes.SHA256())
        return {**fields, "sign": base64.b64encode(signature).decode()}

    def post(self, fields: dict[str, str], timeout: float = 60) -> requests.Response:
        """Sends a request as the SDKs do: common parameters in the query string, biz_content in the body."""
        charset = fields.get("charset", "utf-8")
        query = {name: value for name, value in fields.items() if name != "biz_content"}
        body = {name: value for name, value in fields.items() if name == "biz_content"}
        return self.http.post(
            f"{self.sandbox.gateway_url}?{urlencode(query, encoding=charset)}",
            data=urlencode(body, encoding=charset),
            headers={"Content-Type": f"application/x-www-form-urlencoded;charset={charset}"},
            timeout=timeout,
        )

    def call(self, method: str, content: Any, **common: str) -> dict[str, Any]:
        """Returns the inner object of the answer, whose signature the SDK has verified."""
        response = self.post(self.sign(method, content, **common))
        assert response.status_code == 200
        return self.read(response.content, method)

    def read(self, body: bytes, method: str) -> dict[str, Any]:
        head = f'{{"{method.replace(".", "_")}_response":'.encode()
        assert body.startswith(head), body
        inner, _, rest = body.removeprefix(head).rpartition(b',"sign":"')
        assert verify_with_rsa(self.keys.alipay_public, inner, rest.removesuffix(b'"}'))
        return json.loads(inner)

    def precreate(self, amount: object = "88.88", **content: Any) -> str:
        """Returns the order's number."""
        number = content.setdefault("out_trade_no", self.new_number())
        answer = self.call(
            "alipay.trade.precreate",
            {"total_amount": amount, "subject": "咖啡 Coffee", **content},
            notify_url=self.notify_url,
        )
        assert answer["code"] == "10000", answer
        return number

    def page(
        self, method: str = "alipay.trade.page.pay", return_url: str = "", **content: Any
    ) -> dict[str, str]:
        product = PAGE if method == "alipay.trade.page.pay" else WAP
        content = {"total_amount": "88.88", "subject": "咖啡 Coffee", **product, **content}
        content.setdefault("out_trade_no", self.new_number())
        return self.sign(method, content, notify_url=self.notify_url, return_url=return_url)

    def open_page(self, fields: dict[str, str]) -> requests.Response:
        """The customer's browser posts the form and follows the redirect to the cashier."""
        return self.http.post(
            self.sandbox.gateway_url, params={"charset": fields["charset"]}, data=fields, timeout=60
        )

    def paid(self, amount: object = "88.88", **content: Any) -> str:
        number = self.precreate(amount, **content)
        self.control("POST", "pay", app_id=self.app_id, out_trade_no=number)
        return number

    def query(self, number: str, **content: Any) -> dict[str, Any]:
        return self.call("alipay.trade.query", {"out_trade_no": number, **content})

    def refund(self, number: str, amount: str, request_no: str = "", **content: Any) -> dict[str, Any]:
        numbers = {"out_trade_no": number, **({"out_request_no": request_no} if request_no else {})}
        return self.call("alipay.trade.refund", {**numbers, "refund_amount": amount, **content})

    def query_refund(self, number: str, request_no: str, **content: Any) -> dict[str, Any]:
        return self.call(
            "alipay.trade.fastpay.refund.query",
            {"out_trade_no": number, "out_request_no": request_no, **content},
        )

    def control(self, method: str, name: str, **fields: Any) -> Any:
        status, result = self.sandbox.control.handle(method, name, fields)
        assert status == 200, result
        return result

    def fault(self, operation: str, kind: str, **fields: Any) -> None:
        self.control("POST", "faults", operation=operation, kind=kind, app_id=self.app_id, **fields)

    def wait(self, **duration: float) -> None:
        """Moves the bank's clock."""
        self.sandbox.bank.clock.advance(timedelta(**duration))


@dataclass
class Receiver:
    """Receives notices. `answers` has the next answers for each address; after them, it answers `success`."""

    url: str
    received: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    arrived: Condition = field(default_factory=Condition)

    def wait_for(self, path: str, count: int) -> bool:
        """Waits until `count` notices have arrived at this path."""
        with self.arrived:
            return self.arrived.wait_for(
                lambda: sum(p == path for p, _ in self.received) >= count, timeout=60
            )

    def notices_at(self, url: str) -> list[dict[str, str]]:
        return [fields for path, fields in self.received if self.url + path == url]


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with found.arrived:
                found.received.append((self.path, dict(parse_qsl(body))))
                found.arrived.notify_all()
            planned = found.answers.get(self.path, [])
            status, content = planned.pop(0) if planned else (200, b"success")
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()

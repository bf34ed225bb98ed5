"""Signed requests to APIv3, and answers whose signature is verified.

WeChat Pay signs the answers to requests whose own signature is right; a request whose signature is wrong is not
executed and answered with 401 (pay.weixin.qq.com/doc/global/v3/zh/4012354982). So 401 is the only unsigned answer with
a meaning: any other proves nothing. A statement's file is not signed: its hash comes in a signed answer
(pay.weixin.qq.com/doc/v3/merchant/4012084430).
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from requests import PreparedRequest

from channels.base import ChannelAccount, UnexpectedFormat
from channels.wechat import certificates, config, signing
from channels.wechat.certificates import PlatformCertificate
from channels.wechat.encryption import DecryptionFailed
from common.deadlines import Deadline
from common.http_calls import AnswerLost, HttpAnswer, send_request

log = structlog.get_logger(__name__)

TOLERANCE_SECONDS = 300  # of the timestamps of answers and webhooks
CERTIFICATES_PATH = "/v3/certificates"
MAX_STATEMENT_BYTES = 256 * 1024 * 1024
_OK, _NO_CONTENT, _UNAUTHORIZED, _SERVER_ERROR = 200, 204, 401, 500


class UnverifiedAnswer(Exception):
    """Nothing proves that the answer is WeChat Pay's: the request may have had an effect."""


class SignatureProbe(UnverifiedAnswer):
    """WeChat Pay has made the signature of a few answers and webhooks wrong on purpose, to check that they are verified
    (pay.weixin.qq.com/doc/v3/merchant/4012075249)."""


@dataclass
class WechatApiError(Exception):
    """WeChat Pay's answer is an error. `param` is the parameter that it names."""

    status: int
    code: str
    message: str
    param: str
    is_query: bool

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The headers that sign an answer or a webhook."""

    timestamp: str
    nonce: str
    signature: str
    serial_no: str
    scheme: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Signature":
        by_name = {name.lower(): value for name, value in headers.items()}
        return cls(
            timestamp=by_name.get("wechatpay-timestamp", ""),
            nonce=by_name.get("wechatpay-nonce", ""),
            signature=by_name.get("wechatpay-signature", ""),
            serial_no=by_name.get("wechatpay-serial", ""),
            scheme=by_name.get("wechatpay-signature-type", signing.SCHEME),
        )


class WechatClient:
    """The client of one operation: all its requests end before one deadline."""

    def __init__(self, account: ChannelAccount, timeout_seconds: float) -> None:
        """Raises `UnusableCredentials`."""
        self.credentials = config.read_credentials(account)
        self.webhook_url = account.webhook_url
        self._api_base = config.get_api_base()
        self._deadline = Deadline(timeout_seconds)

    def get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Raises `WechatApiError`, `UnverifiedAnswer`, `UnexpectedFormat`, `AnswerLost` and `NotConnected`. So does
        `post`."""
        return self._read("GET", self._send("GET", f"{path}?{urlencode(params)}" if params else path))

    def post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return self._read("POST", self._send("POST", path, body))

    def download(self, url: str) -> bytes:
        """Downloads a statement's file. The host of the address is not used: a request to it carries our signature."""
        parts = urlsplit(url)
        answer = self._send("GET", f"{parts.path}?{parts.query}", max_answer_bytes=MAX_STATEMENT_BYTES)
        if answer.status != _OK:
            raise _build_error("GET", answer)
        return answer.body

    def verify(self, body: bytes, signature: Signature) -> None:
        """Raises `UnverifiedAnswer` unless WeChat Pay signed the body for this account in the last five minutes."""
        if not signature.signature or not signature.serial_no:
            raise UnverifiedAnswer("no signature")
        if signature.signature.startswith(signing.PROBE_PREFIX):
            raise SignatureProbe("a signature probe")
        if signature.scheme != signing.SCHEME:
            raise UnverifiedAnswer("signed by another method")
        timestamp = signature.timestamp
        if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
            raise UnverifiedAnswer("no timestamp")
        if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
            raise UnverifiedAnswer("the timestamp is more than five minutes off")
        key = self._find_key(signature.serial_no)
        if key is None:
            raise UnverifiedAnswer("signed with an unknown key")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise UnverifiedAnswer("not UTF-8") from error
        if not signing.is_signed(key, signature.signature, timestamp, signature.nonce, text):
            raise UnverifiedAnswer("wrong signature")

    def _send(
        self, method: str, path_and_query: str, body: str = "", *, max_answer_bytes: int | None = None
    ) -> HttpAnswer:
        url = PreparedRequest()
        url.prepare_url(f"{self._api_base}{path_and_query}", None)
        authorization = signing.build_authorization(
            self.credentials,
            method,
            url.path_url,  # as it is sent
            body,
            timestamp=int(time.time()),
            nonce=signing.create_nonce(),
        )
        headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            "User-Agent": "payment-platform",
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self.credentials.public_key_id:
            # Asks for answers that are signed with this key (pay.weixin.qq.com/doc/v3/merchant/4012154180).
            headers["Wechatpay-Serial"] = self.credentials.public_key_id
        limit = {"max_answer_bytes": max_answer_bytes} if max_answer_bytes else {}
        return send_request(
            method,
            url.url or "",
            deadline=self._deadline,
            headers=headers,
            body=body.encode() or None,
            **limit,
        )

    def _read(self, method: str, answer: HttpAnswer) -> dict[str, Any]:
        signature = Signature.read(answer.headers)
        is_unsigned_refusal = answer.status == _UNAUTHORIZED and not signature.signature
        if answer.status < _SERVER_ERROR and not is_unsigned_refusal:
            self.verify(answer.body, signature)
        if answer.status not in (_OK, _NO_CONTENT):
            raise _build_error(method, answer)
        return _parse_object(answer.body) if answer.body else {}

    def _find_key(self, serial_no: str) -> RSAPublicKey | None:
        if serial_no.startswith(config.PUBLIC_KEY_PREFIX):
            return self.credentials.public_keys.get(serial_no)
        try:
            return certificates.find_certificate_key(
                self.credentials,
                serial_no,
                api_base=self._api_base,
                timeout_seconds=self._deadline.remaining_seconds(),
                download=self._download_certificates,
            )
        except (AnswerLost, TimeoutError, WechatApiError, UnexpectedFormat, DecryptionFailed) as error:
            raise UnverifiedAnswer(f"the platform certificates cannot be read: {error}") from error

    def _download_certificates(self) -> dict[str, PlatformCertificate]:
        """The answer needs no other proof: only WeChat Pay can encrypt with the APIv3 key."""
        answer = self._send("GET", CERTIFICATES_PATH)
        if answer.status != _OK:
            raise _build_error("GET", answer)
        found = certificates.decrypt_certificates(self.credentials, _parse_object(answer.body))
        log.info("wechat.certificates_downloaded", serial_numbers=sorted(found))
        return found


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnexpectedFormat("not JSON") from error
    if not isinstance(parsed, dict):
        raise UnexpectedFormat("not a JSON object")
    return parsed


def _build_error(method: str, answer: HttpAnswer) -> WechatApiError:
    """Reads an error of the form of pay.weixin.qq.com/wiki/doc/api_external/ch/apis/chapter3_5_7.shtml."""
    try:
        fields = _parse_object(answer.body)
    except UnexpectedFormat:
        fields = {}
    detail = fields.get("detail")
    return WechatApiError(
        status=answer.status,
        code=str(fields.get("code") or ""),
        message=str(fields.get("message") or ""),
        param=str(detail.get("field") or "") if isinstance(detail, dict) else "",
        is_query=method == "GET",
    )

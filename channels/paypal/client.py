"""Calls to PayPal's REST API for one account. All calls of one operation share its deadline."""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from channels.base import ChannelAccount
from channels.paypal.config import PayPalCredentials, get_api_base
from channels.paypal.errors import PayPalError, raise_for_status, read_json
from channels.paypal.tokens import get_token
from common.deadlines import Deadline
from common.http_calls import HttpAnswer, send_request

log = structlog.get_logger(__name__)


class PayPalClient:
    def __init__(self, account: ChannelAccount, timeout_seconds: float) -> None:
        self._base = get_api_base(account.environment)
        self._credentials = PayPalCredentials.read(account.credentials)
        self._deadline = Deadline(timeout_seconds)
        self._label = account.label

    def get(self, path: str) -> Mapping[str, Any]:
        """Raises what `errors.FAILURES` lists."""
        return self._call("GET", path, {}, None)

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Mapping[str, Any]:
        """Sends the idempotency key as `PayPal-Request-Id`, and wants the whole object as the answer.

        Raises what `errors.FAILURES` lists.
        """
        headers = {"Content-Type": "application/json", "Prefer": "return=representation"}
        if key:
            headers["PayPal-Request-Id"] = key
        return self._call("POST", path, headers, json.dumps(body).encode())

    def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Mapping[str, Any]:
        token = get_token(self._base, self._credentials, self._deadline)
        answer = self._send(method, path, headers, body, token)
        if answer.status == 401:  # not executed: the token was withdrawn before its end
            token = get_token(self._base, self._credentials, self._deadline, rejected=token)
            answer = self._send(method, path, headers, body, token)
        try:
            raise_for_status(answer)
        except PayPalError as error:
            if error.status in (401, 403):
                log.error("paypal.refuses_our_credentials", account=self._label, error=str(error))
            raise
        return {} if answer.status == 204 else read_json(answer)

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, token: str
    ) -> HttpAnswer:
        return send_request(
            method,
            self._base + path,
            deadline=self._deadline,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json", **headers},
            body=body,
        )

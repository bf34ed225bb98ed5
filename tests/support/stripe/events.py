"""Sends events as Stripe does, signed with the endpoint's secret (docs.stripe.com/webhooks#verify-manually)."""

import hashlib
import hmac
import json
import time
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tests.support.stripe.account import build_event

__all__ = ["build_event", "send", "send_raw", "sign"]

PATH = "/api/v1/webhooks/stripe"


def sign(body: bytes, *, secret: str = "whsec_new", at: float | None = None) -> str:
    timestamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={mac}"


def send(event: dict[str, Any], **options: Any) -> HttpResponse:
    body = json.dumps(event, indent=2).encode()
    return send_raw(body, sign(body, **options))


def send_raw(body: bytes, signature: str | None) -> HttpResponse:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return Client().post(PATH, body, content_type="application/json; charset=utf-8", headers=headers)

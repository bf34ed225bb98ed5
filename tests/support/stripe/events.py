"""Events as Stripe sends them: its envelope around an object, signed with the endpoint's secret."""

import hashlib
import hmac
import json
import time
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tests.support.stripe.account import event

__all__ = ["event", "send", "send_raw", "signature"]

PATH = "/api/v1/webhooks/stripe"


def signature(body: bytes, *, secret: str = "whsec_new", at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


def send(told: dict[str, Any], **how: Any) -> HttpResponse:
    body = json.dumps(told, indent=2).encode()
    return send_raw(body, signature(body, **how))


def send_raw(body: bytes, signed: str | None) -> HttpResponse:
    headers = {} if signed is None else {"Stripe-Signature": signed}
    return Client().post(PATH, body, content_type="application/json; charset=utf-8", headers=headers)

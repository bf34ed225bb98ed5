"""Events as Stripe sends them: its envelope around an object, signed with the endpoint's secret."""

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from django.http import HttpResponse
from django.test import Client

PATH = "/api/v1/webhooks/stripe"
_numbers = itertools.count(1)


def event(kind: str, subject: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{next(_numbers):08d}{int(time.time())}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **changes,
    }


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

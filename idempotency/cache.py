"""Finished answers in Redis, for speed only. An entry proves itself by a MAC: a Redis that lies is ignored."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from common import crypto
from common.redis import attempt
from idempotency.request import KeyedRequest

PREFIX = "payment-gateway:idempotency"
RETENTION_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Remembered:
    """A finished answer and the fingerprints of the fields of the request that got it."""

    status: int
    body: bytes
    fields: Mapping[str, str]


def load(request: KeyedRequest) -> Remembered | None:
    raw = attempt(lambda client: client.get(_name(request)), otherwise=None)
    if raw is None:
        return None
    try:
        entry = json.loads(raw)
        payload, mac = entry["answer"], entry["mac"]
        if not crypto.same(mac, _mac(request, payload)):
            return None
        answer = json.loads(payload)
        return Remembered(
            status=answer["status"],
            body=base64.b64decode(answer["body"]),
            fields=answer["fields"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # not one of ours


def store(request: KeyedRequest, remembered: Remembered) -> None:
    """Call after the commit that made the answer final. A second, unscoped entry lets an operator look a key up
    by its bare name; the platform never reads it."""
    payload = json.dumps(
        {
            "status": remembered.status,
            "body": base64.b64encode(remembered.body).decode(),
            "fields": dict(remembered.fields),
        }
    )
    entry = json.dumps({"answer": payload, "mac": _mac(request, payload)})
    note = json.dumps({"state": "completed", "status": remembered.status, "entry": _name(request)})

    def write(client: "redis.Redis") -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.set(_name(request), entry, ex=RETENTION_SECONDS)
        pipeline.set(f"{PREFIX}:{request.key}", note, ex=RETENTION_SECONDS)
        return pipeline.execute()

    attempt(write, otherwise=None)


def _name(request: KeyedRequest) -> str:
    return f"{PREFIX}:{request.key}:{request.scope_hash}"


def _mac(request: KeyedRequest, payload: str) -> str:
    return crypto.keyed_hash(f"{request.scope_hash}\n{payload}".encode(), purpose="idempotency-cache")

"""A copy of the stored answers in Redis, for speed only. A MAC protects each entry: a forged entry is ignored."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common import crypto
from common.redis import LuaScript, attempt
from idempotency.request import KeyedRequest

PREFIX = "payment-gateway:idempotency"
RETENTION_SECONDS = 24 * 3600
# One command costs less than a pipeline of two.
_WRITE = LuaScript("""
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
""")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The final answer of a request, and the fingerprints of the fields of that request."""

    status: int
    body: bytes
    fields: Mapping[str, str]


def load_answer(request: KeyedRequest) -> StoredAnswer | None:
    raw: Any = attempt(lambda client: client.get(get_redis_name(request)), otherwise=None)
    return read_answer(request, raw)


def read_answer(request: KeyedRequest, raw: bytes | None) -> StoredAnswer | None:
    """Reads what is stored under `get_redis_name`."""
    if raw is None:
        return None
    try:
        entry = json.loads(raw)
        payload, mac = entry["answer"], entry["mac"]
        if not crypto.equals_in_constant_time(mac, _compute_mac(request, payload)):
            return None
        answer = json.loads(payload)
        return StoredAnswer(
            status=answer["status"],
            body=base64.b64decode(answer["body"]),
            fields=answer["fields"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # not an entry of ours


def store_answer(request: KeyedRequest, stored: StoredAnswer) -> None:
    """Stores an answer. Call it after the commit that made the answer final.

    A second entry without the scope lets an operator find a key by its name alone. The platform never reads it.
    """
    payload = json.dumps(
        {
            "status": stored.status,
            "body": base64.b64encode(stored.body).decode(),
            "fields": dict(stored.fields),
        }
    )
    entry = json.dumps({"answer": payload, "mac": _compute_mac(request, payload)})
    note = json.dumps({"state": "completed", "status": stored.status, "entry": get_redis_name(request)})

    names = [get_redis_name(request), f"{PREFIX}:{request.key}"]
    values: list[str | int] = [entry, note, RETENTION_SECONDS]
    attempt(lambda client: _WRITE.run(client, names, values), otherwise=None)


def get_redis_name(request: KeyedRequest) -> str:
    return f"{PREFIX}:{request.key}:{request.scope_hash}"


def _compute_mac(request: KeyedRequest, payload: str) -> str:
    return crypto.keyed_hash(f"{request.scope_hash}\n{payload}".encode(), purpose="idempotency-cache")

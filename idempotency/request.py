"""Requests with an Idempotency-Key, and the fingerprints by which two of them are compared."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from common.errors import ValidationFailed

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A write of the API. Tenant, method, route and key are its scope: requests with one scope must be the same write.

    `fields` has a fingerprint of each field of the body and of each name in the path, so that an error can name the
    fields that differ. `lenient_fields` may differ (ADR 20).
    """

    tenant: str
    method: str
    route: str
    key: str | None
    fields: Mapping[str, str]
    lenient_fields: frozenset[str] = frozenset()

    @property
    def scope_hash(self) -> str:
        scope = "\n".join((self.tenant, self.method, self.route, self.key or ""))
        return hashlib.sha256(scope.encode()).hexdigest()[:32]


def read_keyed_request(
    request: HttpRequest,
    *,
    tenant: str,
    route: str,
    body: Any,
    target: Mapping[str, Any] | None = None,
    lenient_fields: frozenset[str] = frozenset(),
) -> KeyedRequest:
    """Reads the Idempotency-Key header (IETF draft: an opaque string). Raises `ValidationFailed` for the header.

    `body` is the parsed body. One that is not an object has no fields: validation refuses it. `target` has the names in
    the path.
    """
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not is_usable_key(key):
        raise ValidationFailed({"Idempotency-Key": [_("Use 1 to 255 printable ASCII characters.")]})
    given = body if isinstance(body, dict) else {}
    return KeyedRequest(
        tenant=tenant,
        method=request.method or "",
        route=route,
        key=key,
        fields={
            name: _compute_fingerprint(value) for name, value in sorted({**given, **(target or {})}.items())
        },
        lenient_fields=lenient_fields,
    )


def is_usable_key(key: str) -> bool:
    return 0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()


def _compute_fingerprint(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

"""What one keyed write is, and how two of them are told apart."""

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
    """Two requests with the same scope are the same write. `core` is what must never differ between them, money
    and target; `fields` fingerprints each field of the body, so that a difference can be named.
    """

    tenant: str
    method: str
    route: str
    key: str | None
    core: str
    fields: Mapping[str, str]
    strict: bool

    @property
    def scope_hash(self) -> str:
        scope = "\n".join((self.tenant, self.method, self.route, self.key or ""))
        return hashlib.sha256(scope.encode()).hexdigest()[:32]


def keyed_request(
    request: HttpRequest,
    *,
    tenant: str,
    route: str,
    core: Mapping[str, Any],
    body: Any,
    strict: bool,
) -> KeyedRequest:
    """Reads the Idempotency-Key header (IETF draft: an opaque string). Raises `ValidationFailed` naming it.

    `body` is the parsed body, whose form was validated before: an object.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise ValidationFailed({"Idempotency-Key": [_("Use 1 to 255 printable ASCII characters.")]})
    return KeyedRequest(
        tenant=tenant,
        method=request.method or "",
        route=route,
        key=key,
        core=_fingerprint(core),
        fields={name: _fingerprint(value)[:16] for name, value in sorted(body.items())},
        strict=strict or "handling=strict" in request.headers.get("Prefer", "").replace(" ", "").lower(),
    )


def _fingerprint(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()

"""The signature of a request, version 1 (docs/SIGNING.md). Both sides of it: we verify, the tools sign."""

import hashlib
import hmac
from dataclasses import dataclass

VERSION = "v1"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class SignedParts:
    """All that a signature covers. Path and query are as sent on the wire, before anyone decoded them."""

    method: str
    path: str
    query: str
    timestamp: str
    nonce: str
    idempotency_key: str
    body: bytes

    @property
    def needs_nonce(self) -> bool:
        """A write without an Idempotency-Key could be sent again by anybody who recorded it. DELETE takes none."""
        return self.method == "DELETE" or (self.method in WRITES and not self.idempotency_key)

    def canonical(self) -> bytes:
        lines = (
            VERSION,
            self.method,
            self.path,
            self.query,
            self.timestamp,
            self.nonce,
            self.idempotency_key,
            hashlib.sha256(self.body).hexdigest(),
        )
        # Headers and paths arrive as bytes that WSGI reads as Latin-1: this gives the same bytes back.
        return "\n".join(lines).encode("latin-1", "replace")


def signature_of(parts: SignedParts, *, secret: str) -> str:
    """The value of the X-Signature header."""
    return f"{VERSION}={hmac.new(secret.encode(), parts.canonical(), hashlib.sha256).hexdigest()}"

"""The signature of a request, version 1 (docs/SIGNING.md): used to verify requests, and by our tools to sign them."""

import hashlib
import hmac
from dataclasses import dataclass

VERSION = "v1"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class SignedParts:
    """Everything that a signature covers. Path and query are as sent, not decoded."""

    method: str
    path: str
    query: str
    timestamp: str
    nonce: str
    idempotency_key: str
    body: bytes

    @property
    def needs_nonce(self) -> bool:
        """A recorded write could be sent again unless it has a nonce or an Idempotency-Key. DELETE takes no
        Idempotency-Key."""
        return self.method == "DELETE" or (self.method in WRITES and not self.idempotency_key)

    def canonical(self) -> bytes:
        """Returns the text to be signed."""
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
        # WSGI decodes headers and paths as Latin-1: this gives the bytes that were sent.
        return "\n".join(lines).encode("latin-1", "replace")


def compute_signature(parts: SignedParts, *, secret: str) -> str:
    """Returns the value of the X-Signature header."""
    return f"{VERSION}={hmac.new(secret.encode(), parts.canonical(), hashlib.sha256).hexdigest()}"

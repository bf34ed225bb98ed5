"""The authentication scheme in the OpenAPI document."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

HEADERS: dict[str, str | Promise] = {
    "X-API-Key": _("The API key, pk_test_… or pk_live_…"),
    "X-Signature": _(
        "`v1=` and the hex HMAC-SHA256, with the key's secret, of these lines joined by a line feed: v1, "
        "method, raw path, raw query, X-Timestamp, X-Nonce or empty, Idempotency-Key or empty, "
        "hex SHA-256 of the raw body."
    ),
    "X-Timestamp": _("Unix time in seconds, within 300 seconds of ours."),
    "X-Nonce": _(
        "8 to 128 printable characters, new for each request. Required for DELETE and for writes without an "
        "Idempotency-Key."
    ),
}


class SignatureScheme(OpenApiAuthenticationExtension):
    target_class = "merchants.authentication.SignatureAuthentication"
    name = list(HEADERS)

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        return [
            {"type": "apiKey", "in": "header", "name": name, "description": str(description)}
            for name, description in HEADERS.items()
        ]

import os
import secrets
import shlex
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.api.parsers import parse_json
from common.errors import MalformedBody
from merchants import keys
from merchants.credentials import PATH_SAFE
from merchants.signing import WRITES, SignedParts, compute_signature

METHODS = ("GET", *sorted(WRITES))
QUERY_SAFE = PATH_SAFE + "?%"


class Command(BaseCommand):
    help = "Prints a signed curl command, ready to paste. The signature is valid for five minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("method", type=str.upper, choices=METHODS)
        parser.add_argument("url", help="a full URL, or a path such as /api/v1/payments")
        for name in ("key", "secret"):
            variable = f"PAYMENT_API_{name.upper()}"
            parser.add_argument(f"--{name}", default=os.environ.get(variable), help=f"default: ${variable}")
        parser.add_argument("--data", help="the JSON body, or @FILE")
        parser.add_argument("--idempotency-key", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        key, secret = (
            _require_well_formed(options["key"], "key"),
            _require_well_formed(options["secret"], "secret"),
        )
        url, path, query = _split_url(options["url"])
        body = _read_body(options["data"])
        parts = SignedParts(
            method=options["method"],
            path=path,
            query=query,
            timestamp=str(int(time.time())),
            nonce=secrets.token_hex(16),
            idempotency_key=_require_printable(options["idempotency_key"]),
            body=body,
        )
        headers = {
            "X-API-Key": key,
            "X-Timestamp": parts.timestamp,
            "X-Nonce": parts.nonce,
            "X-Signature": compute_signature(parts, secret=secret),
        }
        if parts.idempotency_key:
            headers["Idempotency-Key"] = parts.idempotency_key
        self.stdout.write(_curl(parts.method, url, headers, body))


def _require_well_formed(value: str | None, name: str) -> str:
    if not value:
        raise CommandError(f"Give the {name} with --{name} or in PAYMENT_API_{name.upper()}.")
    if value == keys.DEMO_KEY:
        raise CommandError(f"The demo key needs no signing: send X-Signature: {keys.DEMO_SIGNATURE} with it.")
    if not keys.is_well_formed(value):
        raise CommandError(f"This {name} has a typing error: its checksum is wrong.")
    if not value.startswith("pk_" if name == "key" else "sk_"):
        raise CommandError(f"This is not a {name}: the key begins with pk_, the secret with sk_.")
    return value


def _split_url(url: str) -> tuple[str, str, str]:
    """Returns the URL to call, and its path and query as curl sends them."""
    if not url.startswith(("http://", "https://", "/")):
        raise CommandError("Give a full URL or a path that begins with a slash, such as /api/v1/payments.")
    if url.startswith("/"):
        url = settings.PUBLIC_BASE_URL + url
    parts = urlsplit(url)
    path, query = quote(parts.path or "/", safe=PATH_SAFE + "%"), quote(parts.query, safe=QUERY_SAFE)
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else ""), path, query


def _read_body(data: str | None) -> bytes:
    if data is None:
        return b""
    try:
        body = Path(data[1:]).read_bytes() if data.startswith("@") else data.encode()
        parse_json(body)
    except OSError as error:
        raise CommandError(f"{data[1:]} cannot be read: {error.strerror}.") from error
    except MalformedBody as error:
        raise CommandError(f"--data is not valid JSON: {error.details}") from error
    return body


def _require_printable(key: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise CommandError("Use only printable ASCII characters in an Idempotency-Key.")
    return key


def _curl(method: str, url: str, headers: dict[str, str], body: bytes) -> str:
    lines = [f"curl -sS -X {method} {shlex.quote(url)}"]
    if body:
        headers = {"Content-Type": "application/json", **headers}
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    if body:
        lines.append(f"--data-binary {shlex.quote(body.decode())}")
    return " \\\n  ".join(lines)

"""A signed request with any changed byte is refused. Requests that some programs read as the same one are refused
too."""

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from merchants.models import ApiKey
from merchants.signing import SignedParts, compute_signature
from tests.merchants.conftest import refusal
from tests.support.signing import SignedClient

SECRET = "sk_test_0123456789"
PARTS = SignedParts(
    method="POST",
    path="/api/v1/payments/PAY-1/capture",
    query="a=1&b=%20x",
    timestamp="1737734400",
    nonce="a1b2c3d4",
    idempotency_key="pay-1",
    body=b'{"amount":100}',
)
TEXTS = ("method", "path", "query", "timestamp", "nonce", "idempotency_key")
# Every byte except the line end, which no header and no request line can contain (tests/edge).
BYTES = [chr(number) for number in range(256) if number != 10]


def changed_texts(text: str) -> set[str]:
    """Yields texts with one change: a byte is replaced by every other byte, left out, doubled, or exchanged with the
    next one."""
    found = set()
    for place in range(len(text)):
        before, this, after = text[:place], text[place], text[place + 1 :]
        found |= {before + byte + after for byte in BYTES}
        found |= {before + after, before + this * 2 + after, before + after[:1] + this + after[1:]}
    return found - {text}


@pytest.mark.parametrize("name", TEXTS)
def test_each_changed_byte_gives_another_signature(name: str) -> None:
    honest = compute_signature(PARTS, secret=SECRET)
    forged = [replace(PARTS, **{name: text}) for text in changed_texts(getattr(PARTS, name))]
    assert len(forged) > 254
    assert not [parts for parts in forged if compute_signature(parts, secret=SECRET) == honest]


def test_each_changed_byte_of_the_body_gives_another_signature() -> None:
    honest = compute_signature(PARTS, secret=SECRET)
    bodies = [text.encode("latin-1") for text in changed_texts(PARTS.body.decode())]
    assert not [
        body for body in bodies if compute_signature(replace(PARTS, body=body), secret=SECRET) == honest
    ]


def test_text_that_moves_to_the_next_part_gives_another_signature() -> None:
    """The end of one part moves to the beginning of the next part, so that both together read the same."""
    honest = compute_signature(PARTS, secret=SECRET)
    for left, right in itertools.pairwise(TEXTS):
        before, after = getattr(PARTS, left), getattr(PARTS, right)
        for size in range(1, len(before) + 1):
            moved = replace(PARTS, **{left: before[:-size], right: before[-size:] + after})
            assert compute_signature(moved, secret=SECRET) != honest, moved


PATH = "/api/v1/merchant/api-keys"
QUERY = "limit=1&cursor=%7e"
BODY = '{"label":"é"}'.encode()

LOOKS_THE_SAME: dict[str, list[Any]] = {
    "path": [
        f"{PATH}/?{QUERY}", f"//api/v1/merchant/api-keys?{QUERY}", f"/api/v1/./merchant/api-keys?{QUERY}",
        f"/api/v1/x/../merchant/api-keys?{QUERY}", f"/api/v1/merchant%2fapi-keys?{QUERY}",
        f"/api/v1/merchant/api%2Dkeys?{QUERY}", f"/API/v1/merchant/api-keys?{QUERY}", f"{PATH};x?{QUERY}",
        f"{PATH}?cursor=%7e&limit=1", f"{PATH}?limit=1&cursor=%7E", f"{PATH}?limit=1&cursor=~",
        f"{PATH}?{QUERY}&", f"{PATH}?{QUERY}&limit=1", f"{PATH}?limit=01&cursor=%7e", f"{PATH}?limit=1;cursor=%7e",
        f"{PATH}?limit=+1&cursor=%7e", PATH,
    ],
    "body": [
        BODY + b"\n", b" " + BODY, b"\xef\xbb\xbf" + BODY, BODY + b"\0", '{"label": "é"}'.encode(),
        '{"label":"e\u0301"}'.encode(), b'{"label":"\\u00e9"}', '{"label":"é"}'.encode("latin-1"),
        '{"label":"é"}'.encode("utf-16"), BODY[:-1], BODY + BODY,
    ],
    "method": ["PUT", "PATCH", "DELETE", "GET", "OPTIONS"],
}  # fmt: skip


@pytest.fixture
def honest(client: SignedClient) -> dict[str, str]:
    headers = client.signed_headers("POST", f"{PATH}?{QUERY}", BODY, idempotency_key="key-1")
    return {name: value for name, value in headers.items() if value is not None}


def send(
    headers: dict[str, str], *, method: str = "POST", path: str = f"{PATH}?{QUERY}", body: bytes = BODY
) -> str:
    """Returns the `error_code` of the refusal."""
    answer = Client(raise_request_exception=False).generic(
        method, path, body, content_type="application/json", headers=headers, RAW_URI=path
    )
    assert answer.status_code in (401, 404), (method, path, body, answer.content)
    return "not_found" if answer.status_code == 404 else refusal(answer)


def test_a_request_that_looks_the_same_is_refused(honest: dict[str, str]) -> None:
    """An unknown path gets 404 before the signature is checked."""
    before = ApiKey.objects.count()
    for name, values in LOOKS_THE_SAME.items():
        for value in values:
            assert send(honest, **{name: value}) in ("invalid_credentials", "not_found"), (name, value)
    assert ApiKey.objects.count() == before


def test_a_header_that_looks_the_same_is_refused(honest: dict[str, str], client: SignedClient) -> None:
    stamp, nonce, signature = honest["X-Timestamp"], honest["X-Nonce"], honest["X-Signature"]
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in stamp)
    for name, values in {
        "X-Timestamp": [f"0{stamp}", f"+{stamp}", f"{stamp}.0", f"{stamp}0", f"-{stamp}", f"{stamp}, {stamp}",
                        str(int(stamp) + 1), str(int(stamp) - 1), hex(int(stamp)), wide, "", stamp[:-1] + "_0"],
        "X-Nonce": [nonce.upper(), f"{nonce}0", nonce[:-1], f"{nonce},{nonce}", f"{nonce}, {nonce}", ""],
        "Idempotency-Key": ["KEY-1", "key-1 1", "key-1, key-1", "key-2", ""],
        "X-API-Key": [client.key.upper(), client.key[:-1], f"{client.key}0", f"{client.key}, {client.key}", ""],
        "X-Signature": [signature[3:], f"v2{signature[2:]}", f"V1{signature[2:]}", f"{signature}0", signature[:-1],
                        f"{signature}, {signature}", f"sha256{signature[2:]}", f"v1={signature}", "v1=", ""],
    }.items():  # fmt: skip
        for value in values:
            assert send({**honest, name: value}) in ("invalid_credentials", "credentials_incomplete"), (
                name,
                value,
            )


def test_each_changed_digit_of_a_signature_is_refused(honest: dict[str, str]) -> None:
    signature = honest["X-Signature"]
    for place in range(3, len(signature)):
        other = "0" if signature[place] != "0" else "1"
        forged = signature[:place] + other + signature[place + 1 :]
        assert send({**honest, "X-Signature": forged}) == "invalid_credentials"


def test_the_untouched_request_is_accepted_and_nothing_was_spent(honest: dict[str, str]) -> None:
    """Shows that the requests above are refused for their change only."""
    assert send({**honest, "X-Signature": "v1=" + "0" * 64}) == "invalid_credentials"
    began = ApiKey.objects.count()
    answer = Client().generic(
        "POST",
        f"{PATH}?{QUERY}",
        BODY,
        content_type="application/json",
        headers=honest,
        RAW_URI=f"{PATH}?{QUERY}",
    )
    assert answer.status_code == 200, answer.content
    assert ApiKey.objects.count() == began + 1
    assert abs(int(honest["X-Timestamp"]) - time.time()) < 300

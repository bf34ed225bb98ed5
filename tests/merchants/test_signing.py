"""The signature, compared with values computed with openssl: merchants' programs depend on every byte."""

import pytest

from merchants.signing import SignedParts, compute_signature

SECRET = "sk_test_0123456789"
PARTS = SignedParts(
    method="POST",
    path="/api/v1/payments",
    query="expand=order&x=%E4",
    timestamp="1737734400",
    nonce="a1b2c3d4e5f6",
    idempotency_key="pay-1",
    body='{"subject":"测试支付"}'.encode(),
)


def test_the_canonical_text_is_eight_lines():
    assert PARTS.canonical() == (
        b"v1\nPOST\n/api/v1/payments\nexpand=order&x=%E4\n1737734400\na1b2c3d4e5f6\npay-1\n"
        b"fcc63122553599d501dc07a2184556a28b1694267377c5189d17c11fe075d6bb"
    )


def test_the_signature_equals_the_one_of_openssl():
    assert (
        compute_signature(PARTS, secret=SECRET)
        == "v1=eb222cfc7ab14189fcf7e0ef9390c1791112dd880847d01943c32d0c91cdb91b"
    )


def test_absent_parts_are_empty_lines():
    parts = SignedParts("GET", "/api/v1/merchant", "", "1737734400", "", "", b"")
    assert parts.canonical() == (
        b"v1\nGET\n/api/v1/merchant\n\n1737734400\n\n\n"
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert (
        compute_signature(parts, secret=SECRET)
        == "v1=85ce99fadcf76a6e2587097bd8f31c8f6ced5e6e969776bb19e890337e9dfc85"
    )


@pytest.mark.parametrize(
    ("method", "idempotency_key", "needed"),
    [
        ("GET", "", False),
        ("HEAD", "", False),
        ("POST", "", True),
        ("DELETE", "", True),
        ("DELETE", "k", True),
        ("POST", "k", False),
    ],
)
def test_writes_without_an_idempotency_key_need_a_nonce(method: str, idempotency_key: str, needed: bool):
    parts = SignedParts(method, "/", "", "1", "", idempotency_key, b"")
    assert parts.needs_nonce is needed

"""API keys and signing secrets as text.

    pk_test_4tq8vjk2mzrw_<32 random characters><6 of checksum>     the key: says who calls
    sk_test_<43 random characters><6 of checksum>                  the secret: signs, and is never sent

The prefix tells people and secret scanners what they found; the checksum tells a typing error from an unknown
key. The public id may be shown anywhere. The key is stored as a keyed hash, the secret sealed.
"""

import secrets
import string
import zlib
from dataclasses import dataclass, field

from common.crypto import keyed_hash

ALPHABET = string.digits + string.ascii_letters
# Without the letters and digits that people read wrongly.
PUBLIC_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
PUBLIC_ID_LENGTH, RANDOM_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 32, 43, 6
MAX_KEY_LENGTH = 100

# The quick start's key and signature, word for word. They mean something only while PAYMENT_DEMO is on.
DEMO_KEY = "test-api-key"
DEMO_SIGNATURE = "test-signature"


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A fresh key with its secret. It exists in memory once, and is kept out of `repr` and so out of logs."""

    public_id: str
    key: str = field(repr=False)
    secret: str = field(repr=False)


def generate(environment: str) -> KeyMaterial:
    public_id = _random(PUBLIC_ALPHABET, PUBLIC_ID_LENGTH)
    return KeyMaterial(
        public_id=public_id,
        key=_with_checksum(f"pk_{environment}_{public_id}_{_random(ALPHABET, RANDOM_LENGTH)}"),
        secret=_with_checksum(f"sk_{environment}_{_random(ALPHABET, SECRET_LENGTH)}"),
    )


def hash_of(key: str) -> str:
    """What the table holds in place of the key."""
    return keyed_hash(key.encode(), purpose="api-key")


def is_well_formed(text: str) -> bool:
    """True for a key or secret without typing errors. It says nothing about whether it is known."""
    return text.startswith(("pk_", "sk_")) and text == _with_checksum(text[:-CHECKSUM_LENGTH])


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _with_checksum(text: str) -> str:
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):  # 62**6 is more than 2**32
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return text + digits

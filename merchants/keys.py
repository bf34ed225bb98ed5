"""API keys and signing secrets as text.

    pk_test_4tq8vjk2mzrw_<32 random characters><6 of checksum>     the key: identifies the caller
    sk_test_<43 random characters><6 of checksum>                  the secret: signs, and is never sent

The prefix lets people and secret scanners recognize it; the checksum tells a typing error from an unknown key. The
public id may be shown anywhere. The key is stored as a keyed hash, the secret sealed.
"""

import secrets
import string
import zlib
from dataclasses import dataclass, field

from common.crypto import keyed_hash

ALPHABET = string.digits + string.ascii_letters
# Without letters and digits that are easily confused.
PUBLIC_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
PUBLIC_ID_LENGTH, RANDOM_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 32, 43, 6
MAX_KEY_LENGTH = 100

# The literal key and signature of the quick start. They are accepted only while PAYMENT_DEMO is on.
DEMO_KEY = "test-api-key"
DEMO_SIGNATURE = "test-signature"


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A new key with its secret, in the clear. Both are kept out of `repr`, and so out of logs."""

    public_id: str
    key: str = field(repr=False)
    secret: str = field(repr=False)


def generate_key(environment: str) -> KeyMaterial:
    public_id = _random_text(PUBLIC_ALPHABET, PUBLIC_ID_LENGTH)
    return KeyMaterial(
        public_id=public_id,
        key=_with_checksum(f"pk_{environment}_{public_id}_{_random_text(ALPHABET, RANDOM_LENGTH)}"),
        secret=_with_checksum(f"sk_{environment}_{_random_text(ALPHABET, SECRET_LENGTH)}"),
    )


def hash_key(key: str) -> str:
    """Returns the keyed hash that the table holds in place of the key."""
    return keyed_hash(key.encode(), purpose="api-key")


def is_well_formed(text: str) -> bool:
    """Checks prefix and checksum of a key or secret. A well-formed key need not exist."""
    return text.startswith(("pk_", "sk_")) and text == _with_checksum(text[:-CHECKSUM_LENGTH])


def _random_text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _with_checksum(text: str) -> str:
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):  # 62**6 is more than 2**32
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return text + digits

"""Secrets at rest are never in the clear: sealed when we need them back, hashed when we only compare."""

import functools
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SecretUnreadable(Exception):
    """A sealed value that none of PAYMENT_MASTER_KEYS opens: a master key was dropped too early."""


@functools.cache
def _box(master_keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in master_keys])


def seal(secret: str) -> str:
    """Encrypts with the newest master key."""
    return _box(tuple(settings.PAYMENT_MASTER_KEYS)).encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypts with whichever master key sealed it. Raises `SecretUnreadable`."""
    try:
        return _box(tuple(settings.PAYMENT_MASTER_KEYS)).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


@functools.cache
def _pepper(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"pepper:{purpose}".encode(), "sha256")


def keyed_hash(value: bytes, *, purpose: str) -> str:
    """HMAC-SHA256 under a key derived from KEYED_HASH_SECRET for this purpose: a stolen table tells nothing."""
    return hmac.new(_pepper(settings.KEYED_HASH_SECRET, purpose), value, hashlib.sha256).hexdigest()


def same(left: str, right: str) -> bool:
    """Comparison whose time does not tell how much agrees."""
    return hmac.compare_digest(left.encode(), right.encode())

"""Encrypts secrets that we need back, and hashes secrets that we only compare."""

import functools
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SecretUnreadable(Exception):
    """No key of PAYMENT_MASTER_KEYS decrypts the value: a master key was removed too early."""


@functools.cache
def _box(master_keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in master_keys])


def seal(secret: str) -> str:
    """Encrypts with the newest master key."""
    return _box(tuple(settings.PAYMENT_MASTER_KEYS)).encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypts with the master key that encrypted it. Raises `SecretUnreadable`."""
    try:
        return _box(tuple(settings.PAYMENT_MASTER_KEYS)).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


def reseal(sealed: str) -> str | None:
    """Encrypts with the newest master key what an older one encrypted; None when the newest one did it already.

    Raises `SecretUnreadable`.
    """
    try:
        Fernet(settings.PAYMENT_MASTER_KEYS[0]).decrypt(sealed.encode())
    except InvalidToken:
        return seal(unseal(sealed))
    return None


@functools.cache
def _pepper(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"pepper:{purpose}".encode(), "sha256")


def keyed_hash(value: bytes, *, purpose: str, secret: str = "") -> str:
    """HMAC-SHA256 with a key derived from KEYED_HASH_SECRET for this purpose, so that a stolen table is useless.
    `secret` is another one: an earlier value of the setting."""
    pepper = _pepper(secret or settings.KEYED_HASH_SECRET, purpose)
    return hmac.new(pepper, value, hashlib.sha256).hexdigest()


def equals_in_constant_time(left: str, right: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())

"""Secrets from the environment: each has a default on the local stack only, and a weak one fails at start."""

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

SHORTEST = 32
FEWEST_DIFFERENT = 8
MAKE_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105
MAKE_MASTER_KEY = "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"

LOCAL_SECRET_KEY = "insecure-development-key"  # noqa: S105
LOCAL_MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
LOCAL_WEBHOOK_SECRET = "simulator-webhook-secret"  # noqa: S105
# Everybody can read these here, in docker-compose.yml or in the tests.
PUBLISHED = frozenset(
    {
        LOCAL_SECRET_KEY,
        LOCAL_MASTER_KEY,
        LOCAL_WEBHOOK_SECRET,
        "only-for-demonstration-on-one-machine",
        "only-for-tests",
        "ZGVtb25zdHJhdGlvbi1vbi1vbmUtbWFjaGluZS1vbmw=",
        "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDA=",
    }
)


def secret(name: str, given: str, *, local: bool, default: str) -> str:
    """The value of the setting `name`. Raises `ImproperlyConfigured`."""
    if local and given in (PUBLISHED | {""}):
        return given or default
    if not given:
        raise ImproperlyConfigured(f"{name} is not set. Make one with: {MAKE_SECRET}")
    if given in PUBLISHED:
        raise ImproperlyConfigured(f"{name} is published in this project. Make your own with: {MAKE_SECRET}")
    if len(given) < SHORTEST or len(set(given)) < FEWEST_DIFFERENT:
        raise ImproperlyConfigured(
            f"{name} is too easy to guess: it needs {SHORTEST} random characters. Make one with: {MAKE_SECRET}"
        )
    return given


def master_keys(given: list[str], *, local: bool) -> list[str]:
    """Fernet keys, newest first. Raises `ImproperlyConfigured`."""
    name = "PAYMENT_MASTER_KEYS"
    if not given and local:
        return [LOCAL_MASTER_KEY]
    if not given:
        raise ImproperlyConfigured(
            f"{name} is not set: one or more keys, comma separated. Make one with: {MAKE_MASTER_KEY}"
        )
    for number, key in enumerate(given, start=1):
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name}: number {number} is not a key (32 bytes in base64). Make one with: {MAKE_MASTER_KEY}"
            ) from error
        if key in PUBLISHED and not local:
            raise ImproperlyConfigured(
                f"{name}: number {number} is published in this project. Make your own with: {MAKE_MASTER_KEY}"
            )
    return given

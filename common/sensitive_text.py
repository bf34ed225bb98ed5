"""Finds secrets, card numbers, e-mail addresses and control characters in a text, and replaces them."""

import functools
import re
from collections.abc import Iterator, Mapping

from django.conf import settings

REDACTED, CARD = "[redacted]", "[card]"
# Shorter values of settings are words, such as the local stack's password "postgres".
SHORTEST_SECRET = 12
SHORT_TEXT = 64
# The names of the credentials of channels that are secret: `CredentialField.is_secret`.
SECRET_CREDENTIALS = frozenset({"api_v3_key", "client_secret", "private_key"})

_SECRET_SHAPES = re.compile(
    r"""
      \b(?:[spr]k|rk)_(?:test|live)_[\w-]{6,}             # API keys and their secrets, ours and Stripe's
    | \bwhsec_[\w+/=-]{6,}                                # webhook signing secrets
    | \bgAAAA[\w-]{20,}=*                                 # sealed values
    | (?i:\b(?:Bearer|Basic)\s+)[\w.~+/=-]{6,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----(?s:.*?)(?:-----END|$)
    | \bMII[0-9A-Za-z+/]{200,}={0,2}                       # keys as bare base64
    | \bv1=[0-9a-fA-F]{64}\b                              # signatures of requests
    | \bv1,[\w+/]{43}=                                    # signatures of webhooks
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                     # user and password of an address
    | (?i:(?:secret|passw\w*|api[-_]?key|authorization|signature|token|cvv|cvc)[\\]*["']?\s*[=:]\s*)
      (?:[\\]*"[^"]*"|'[^']*'|(?i:(?:Bearer|Basic)\s+|v1,)?[^\s,;&)}\]]+)
    """,
    re.VERBOSE,
)
# Numbers of ours and ids that may look like cards come first, and stay.
_CARD_LIKE = re.compile(
    r"""
      (?P<id>\b(?:PAY|REF)-20\d{6}-\d{6,12}\b
        | \b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\b
        | \b(?=[0-9]*[a-f])[0-9a-f]{16,64}\b)
    | (?<!\d)(?<!\d\.)[2-6](?:(?:[ .\t+\u2010-\u2015\u00a0_/-]|%20){0,3}\d){12,18}(?!\d)
    """,
    re.VERBOSE,
)
# A number with a fraction, such as a duration. Cards are written with a point between groups, and so with several.
_DECIMAL = re.compile(r"\d+\.\d+")
# Which beginnings exist, and with how many digits (ISO/IEC 7812, as the card schemes publish their ranges).
_SCHEMES = re.compile(
    r"""
      4(?:\d{12}|\d{15}|\d{18})                                        # Visa
    | 5[0-8]\d{11,17}                                                  # Mastercard, Maestro
    | (?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720|220[0-5])\d{12,15}  # Mastercard, Mir
    | 3[47]\d{13}                                                      # American Express
    | 3(?:0[0-5]|09|[689]\d)\d{11,16}                                  # Diners Club
    | 35(?:2[89]|[3-8]\d)\d{12,15}                                     # JCB
    | 6\d{12,18}                                                       # Discover, UnionPay, Maestro, RuPay
    """,
    re.VERBOSE,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
# The lookbehind keeps the search linear: a match starts only where a word starts.
_EMAIL = re.compile(r"(?<![^\s@<>\"'])[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"']+")
# PostgreSQL's text and jsonb cannot hold NUL and lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def hide_secrets(text: str) -> str:
    """Replaces secrets and card numbers."""
    secrets = _configured_secrets()
    return _hide_in_short(text, secrets) if len(text) <= SHORT_TEXT else _hide(text, secrets)


# Log lines repeat the names of loggers and events, and the ids of merchants and keys.
@functools.lru_cache(maxsize=4096)
def _hide_in_short(text: str, secrets: tuple[str, ...]) -> str:
    return _hide(text, secrets)


def _hide(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _CARD_LIKE.sub(_replace_if_card, _SECRET_SHAPES.sub(_replace_secret, text))


def hide_emails(text: str) -> str:
    return _EMAIL.sub(REDACTED, text)


def escape_control_characters(text: str, *, keep_lines: bool = False) -> str:
    """Escapes characters that would begin another line of a log, or move a terminal's cursor. `keep_lines`: line
    breaks stay."""
    control = _CONTROL_BUT_LINES if keep_lines else _CONTROL
    return control.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def replace_unstorable(text: str) -> str:
    """Replaces what PostgreSQL cannot hold by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


@functools.cache
def _configured_secrets() -> tuple[str, ...]:
    """The secrets of this installation's settings, longest first because one may contain another."""
    known: list[str] = [
        settings.SECRET_KEY,
        settings.KEYED_HASH_SECRET,
        *settings.KEYED_HASH_OLD_SECRETS,
        *settings.PAYMENT_MASTER_KEYS,
        settings.SIMULATOR_WEBHOOK_SECRET,
        *settings.STRIPE_SECRET_KEYS.values(),
        *(secret for secrets in settings.STRIPE_WEBHOOK_SECRETS.values() for secret in secrets),
        *(secret for secrets in settings.STRIPE_CONNECT_WEBHOOK_SECRETS.values() for secret in secrets),
        *_read_channel_secrets(
            settings.ALIPAY_CREDENTIALS, settings.WECHAT_CREDENTIALS, settings.PAYPAL_CREDENTIALS
        ),
        str(settings.DATABASES["default"]["PASSWORD"]),
        settings.EMAIL_HOST_PASSWORD or "",
    ]
    return tuple(sorted({value for value in known if len(value) >= SHORTEST_SECRET}, key=len, reverse=True))


def _read_channel_secrets(*accounts: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The secret credentials of the platform's own accounts at channels, by environment and name."""
    for by_environment in accounts:
        for credentials in by_environment.values():
            yield from (value for name, value in credentials.items() if name in SECRET_CREDENTIALS)


def _replace_secret(match: re.Match[str]) -> str:
    """Keeps the name before the secret, as in `token=[redacted]`."""
    named = re.match(r"""[\w-]+[\\]*["']?\s*[=:]\s*""", match.group())
    return f"{named.group() if named else ''}{REDACTED}"


def _replace_if_card(match: re.Match[str]) -> str:
    text = match.group()
    if match["id"] or _DECIMAL.fullmatch(text):
        return text
    number = "".join(char for char in text.replace("%20", "") if char.isdigit())
    return CARD if _SCHEMES.fullmatch(number) and _luhn_holds(number) else text


def _luhn_holds(number: str) -> bool:
    digits = [int(char) for char in number]
    doubled = [
        digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4) for index, digit in enumerate(digits[::-1])
    ]
    return sum(doubled) % 10 == 0

"""What a log line may not hold: secrets, card numbers, and characters that would pass for another line.

Whatever is logged comes out as plain JSON values, so that a renderer never falls back on somebody's `repr`.
"""

import functools
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from django.conf import settings

REDACTED, CARD = "[redacted]", "[card]"
MAX_DEPTH, MAX_ITEMS, MAX_TEXT = 8, 100, 20_000
# Shorter values of settings are words, such as the local stack's password "postgres".
SHORTEST_SECRET = 12

_SECRET_NAMES = re.compile(
    r"secret|passw|authorization|credential|api[-_]?key$|master[-_]?key|private[-_]?key|signature|token|cookie"
    r"|card[-_]?(no|num)|^pan$|^cv[vc]2?$",
    re.IGNORECASE,
)
_SECRET_SHAPES = re.compile(
    r"""
      \b(?:[spr]k|rk)_(?:test|live)_[\w-]{6,}             # API keys and their secrets, ours and Stripe's
    | \bwhsec_[\w+/=-]{6,}                                # webhook signing secrets
    | \bgAAAA[\w-]{20,}=*                                 # sealed values
    | (?i:\b(?:Bearer|Basic)\s+)[\w.~+/=-]{6,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----(?s:.*?)(?:-----END|$)
    | \bv1=[0-9a-fA-F]{64}\b                              # signatures of requests
    | \bv1,[\w+/]{43}=                                    # signatures of webhooks
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                     # user and password of an address
    | (?i:\b[\w-]*(?:secret|passw\w*|api[-_]?key|authorization|signature|token|cvv|cvc)[\\]*["']?\s*[=:]\s*)
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
# Tracebacks have lines of their own.
_LINES_ALLOWED = ("exception", "stack")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor. It goes after everything that adds to the event, before the renderer."""
    clean: dict[str, Any] = {}
    for name, value in event.items():
        if name in ("_record", "_from_structlog"):  # structlog's own, dropped before rendering
            clean[name] = value
        elif name in _LINES_ALLOWED and isinstance(value, str):
            clean[name] = _text(value, control=_CONTROL_BUT_LINES)
        else:
            clean[_text(str(name))] = _value(value, str(name), depth=0)
    return clean


def _value(value: Any, name: str, depth: int) -> Any:
    if _SECRET_NAMES.search(name) and value not in (None, "", True, False):
        return REDACTED
    match value:
        case None | bool() | float():
            return value
        case int():
            shown = _text(str(value))
            return value if shown == str(value) else shown
        case str():
            return _text(value)
        case bytes() | bytearray() | memoryview():
            return _text(bytes(value).decode(errors="replace"))
        case _ if depth >= MAX_DEPTH:
            return f"[{type(value).__name__}]"
        case Mapping():
            pairs = list(value.items())[:MAX_ITEMS]
            return {_text(str(key)): _value(inner, str(key), depth + 1) for key, inner in pairs}
        case [str() as inner, _] if _SECRET_NAMES.search(inner):  # a header, as libraries keep them
            return [_text(inner), REDACTED]
        case list() | tuple() | set() | frozenset():
            return [_value(inner, name, depth + 1) for inner in _first(value)]
    return _text(_shown(value))


def _first(values: Iterable[Any]) -> Iterable[Any]:
    return (value for _number, value in zip(range(MAX_ITEMS), values, strict=False))


def _shown(value: Any) -> str:
    """UUIDs, dates and the like as they are written. What fails to present itself is not worth a log line."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - whatever somebody's __str__ raises
        return f"[{type(value).__name__}]"


def _text(text: str, *, control: re.Pattern[str] = _CONTROL) -> str:
    text = text[:MAX_TEXT]
    for secret in _configured_secrets():
        text = text.replace(secret, REDACTED)
    text = _CARD_LIKE.sub(_blank_if_card, _SECRET_SHAPES.sub(_blank_secret, text))
    return control.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


@functools.cache
def _configured_secrets() -> tuple[str, ...]:
    """What this installation itself keeps secret, wherever it turns up. Longest first: one may contain another."""
    known: list[str] = [
        settings.SECRET_KEY,
        settings.KEYED_HASH_SECRET,
        *settings.PAYMENT_MASTER_KEYS,
        settings.SIMULATOR_WEBHOOK_SECRET,
        *settings.STRIPE_SECRET_KEYS.values(),
        *(secret for secrets in settings.STRIPE_WEBHOOK_SECRETS.values() for secret in secrets),
        str(settings.DATABASES["default"]["PASSWORD"]),
        settings.EMAIL_HOST_PASSWORD or "",
    ]
    return tuple(sorted({value for value in known if len(value) >= SHORTEST_SECRET}, key=len, reverse=True))


def _blank_secret(match: re.Match[str]) -> str:
    """Leaves the name that made it a secret."""
    named = re.match(r"""[\w-]+[\\]*["']?\s*[=:]\s*""", match.group())
    return f"{named.group() if named else ''}{REDACTED}"


def _blank_if_card(match: re.Match[str]) -> str:
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

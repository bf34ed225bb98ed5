"""Replaces what may not be logged, stored or shown: secrets, card numbers and personal data.

There is one walk through a value (`redact`) and one set of rules for each purpose: `LOGS`, `CHANNEL_EVENTS`,
`STEP_INPUTS`, `PAGES`.
The result holds plain JSON types only, so that a renderer never falls back on an object's `repr`.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from common.sensitive_text import (
    REDACTED,
    escape_control_characters,
    hide_emails,
    hide_secrets,
    replace_unstorable,
)

_CREDENTIAL_NAMES = (
    r"secret|passw|authorization|credential|api[-_]?key$|master[-_]?key|private[-_]?key|signature|token|cookie"
    r"|card[-_]?(no|num)|^pan$|^cv[vc]2?$|^next_action$"
)
_HIDDEN_ON_PAGES = r"cv[vc]|iban|account_number|payment_url|client_key|api_key"
# Names of fields in which channels report who paid and where they live (Stripe: billing_details, customer_details,
# shipping, receipt_email, payment_method_details …). The platform reads none of them.
_PERSONAL_NAMES = (
    r"address|e_?mail|phone|^(?:first|last|full|given|family|middle|sur)?_?name$|(?:holder|owner|customer|payer|buyer|cardholder)_?name"
    r"|^(?:billing_details|customer_details|shipping(?:_details)?|payer|buyer|individual|tax_ids?|collected_information"
    r"|custom_fields)$|birth|^dob$|^open_?id$|^ip$|_ip$|^ip_|user_agent|fingerprint|^last_?4$|iban|account_number|national_id|passport"
    r"|receipt_url|receipt_number|hosted_invoice_url"
)


@dataclass(frozen=True, slots=True, eq=False)
class RedactionRules:
    """`hidden_names`: the value of a field with such a name is replaced whole. `clean_text` is applied to every text.
    Deeper values become the name of their type; of longer mappings and lists only the beginning is kept."""

    hidden_names: re.Pattern[str]
    clean_text: Callable[[str], str]
    replacement: str = REDACTED
    max_depth: int = 32
    max_items: int | None = None


def _clean_log_text(text: str) -> str:
    return escape_control_characters(hide_secrets(text[:20_000]))


def _clean_traceback(text: str) -> str:
    return escape_control_characters(hide_secrets(text[:20_000]), keep_lines=True)


def _clean_event_text(text: str) -> str:
    return hide_emails(hide_secrets(replace_unstorable(text)[:2_000]))


LOGS = RedactionRules(
    re.compile(_CREDENTIAL_NAMES, re.IGNORECASE), _clean_log_text, max_depth=8, max_items=100
)
# Merchants' metadata stays, because payments and refunds are found by it.
CHANNEL_EVENTS = RedactionRules(
    re.compile(f"{_CREDENTIAL_NAMES}|{_PERSONAL_NAMES}", re.IGNORECASE), _clean_event_text
)
STEP_INPUTS = RedactionRules(
    re.compile(f"{_CREDENTIAL_NAMES}|{_PERSONAL_NAMES}|{_HIDDEN_ON_PAGES}", re.IGNORECASE),
    _clean_event_text,
    max_items=50,
)
PAGES = RedactionRules(
    re.compile(f"{_CREDENTIAL_NAMES}|{_HIDDEN_ON_PAGES}", re.IGNORECASE), hide_secrets, replacement="•••"
)


# No whole number of fewer digits is a card number or contains a secret.
_SHORT_NUMBER = 10**11


def redact(value: Any, rules: RedactionRules) -> Any:
    """A copy of the value in plain JSON types, redacted."""
    return _redact(value, rules, name="", depth=0)


def redact_log_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor. It goes after every processor that adds to the event, and before the renderer."""
    clean: dict[str, Any] = {}
    for name, value in event.items():
        if name in ("_record", "_from_structlog"):  # structlog's own, dropped before rendering
            clean[name] = value
        elif name in ("exception", "stack") and isinstance(value, str):
            clean[name] = _clean_traceback(value)
        else:
            clean[_clean_name(LOGS, str(name))] = _redact(value, LOGS, name=str(name), depth=0)
    return clean


def _redact(value: Any, rules: RedactionRules, *, name: str, depth: int) -> Any:
    if name and _is_hidden(rules, name) and value not in (None, "", True, False, [], {}):
        return rules.replacement
    match value:
        case None | bool() | "":
            return value
        case float():
            return value if math.isfinite(value) else None  # JSON has no other numbers
        case int() if -_SHORT_NUMBER < value < _SHORT_NUMBER:
            return value
        case int():
            shown = rules.clean_text(str(value))
            return value if shown == str(value) else shown
        case str():
            return rules.clean_text(value)
        case bytes() | bytearray() | memoryview():
            return rules.clean_text(bytes(value).decode(errors="replace"))
        case _ if depth >= rules.max_depth:
            return f"[{type(value).__name__}]"
        case Mapping():
            return {
                _clean_name(rules, str(key)): _redact(inner, rules, name=str(key), depth=depth + 1)
                for key, inner in islice(value.items(), rules.max_items)
            }
        case [str() as header, _] if rules.hidden_names.search(header):  # a header, as HTTP libraries keep it
            return [rules.clean_text(header), rules.replacement]
        case list() | tuple() | set() | frozenset():
            items = islice(value, rules.max_items)
            return [_redact(inner, rules, name="", depth=depth + 1) for inner in items]
    return rules.clean_text(_text_of(value))


# Most names are those of our own fields and come again with each value. A merchant's metadata brings others.
@functools.lru_cache(maxsize=2048)
def _is_hidden(rules: RedactionRules, name: str) -> bool:
    return rules.hidden_names.search(name) is not None


@functools.lru_cache(maxsize=2048)
def _clean_name(rules: RedactionRules, name: str) -> str:
    return rules.clean_text(name)


def _text_of(value: Any) -> str:
    """UUIDs, dates and the like as they are written. An object whose `__str__` fails is shown by its type."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - any error of a foreign __str__
        return f"[{type(value).__name__}]"

"""What is kept of a channel's webhook: the facts about money, and nothing about the person who paid."""

import json
import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 32
MAX_TEXT: Final = 2_000
MAX_BYTES: Final = 64_000
REDACTED, CUT = "[redacted]", "[cut]"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Names of fields in which channels tell who paid and where they live (Stripe: billing_details, customer_details,
# shipping, receipt_email, payment_method_details …). The platform reads none of them.
_PERSONAL = re.compile(
    r"address|e_?mail|phone|^(?:first|last|full|given|family|middle|sur)?_?name$|(?:holder|owner|customer|payer|buyer|cardholder)_?name"
    r"|^(?:billing_details|customer_details|shipping(?:_details)?|payer|buyer|individual|tax_ids?|collected_information"
    r"|custom_fields)$|birth|^dob$|^ip$|_ip$|^ip_|user_agent|fingerprint|^last_?4$|iban|account_number|national_id|passport"
    r"|receipt_url|receipt_number|hosted_invoice_url",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"']+")


def storable(payload: Any) -> Any:
    """The payload without personal data, as jsonb can hold it, and no longer than `MAX_BYTES`.

    Merchants' metadata stays, because refunds and payments are found by it; addresses of e-mail in it do not.
    """
    kept = _kept(payload, "", 0)
    if len(json.dumps(kept)) <= MAX_BYTES:
        return kept
    if not isinstance(kept, dict):
        return CUT
    return {
        name: value if len(json.dumps(value)) <= MAX_TEXT else CUT for name, value in list(kept.items())[:100]
    }


def _kept(value: Any, name: str, depth: int) -> Any:
    if value not in (None, "", [], {}) and _PERSONAL.search(name):
        return REDACTED
    match value:
        case str():
            return _EMAIL.sub(REDACTED, _UNSTORABLE.sub("\ufffd", value)[:MAX_TEXT])
        case float() if not math.isfinite(value):
            return None
        case dict() | list() if depth >= MAX_DEPTH:
            return None
        case dict():
            return {
                _UNSTORABLE.sub("\ufffd", key): _kept(inner, key, depth + 1) for key, inner in value.items()
            }
        case list():
            return [_kept(inner, "", depth + 1) for inner in value]
    return value

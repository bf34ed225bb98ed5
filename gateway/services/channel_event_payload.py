"""The payload of a channel's webhook as it is stored: the facts about money, without the person who paid."""

import json
from typing import Any, Final

from common.redaction import CHANNEL_EVENTS, redact

# A longer body is stored as its size and its beginning. The limit is lower for an event about no payment of ours: its
# beginning shows whose it is.
MAX_BODY_BYTES: Final = 64 * 1024
MAX_UNKNOWN_BODY_BYTES: Final = 4 * 1024
BEGINNING_CHARACTERS: Final = 1024

MAX_PAYLOAD_CHARACTERS: Final = 64_000
MAX_FIELD_CHARACTERS: Final = 2_000
MAX_FIELDS: Final = 100
CUT: Final = "[cut]"


def build_stored_payload(body: bytes, *, max_bytes: int) -> Any:
    """Returns the part of an event's body that is stored. Of a body that is not JSON, and for which the channel gives
    no record, only the size: nothing says which of it is personal."""
    try:
        payload = json.loads(body)
    except ValueError:
        return {"unreadable": True, "bytes": len(body)}
    if len(body) <= max_bytes:
        return redact_payload(payload)
    beginning = json.dumps(redact_payload(payload), ensure_ascii=False)[:BEGINNING_CHARACTERS]
    return {"truncated": True, "bytes": len(body), "beginning": beginning}


def redact_payload(payload: Any) -> Any:
    """The payload without secrets and personal data, as jsonb can hold it, with at most `MAX_PAYLOAD_CHARACTERS`."""
    redacted = redact(payload, CHANNEL_EVENTS)
    if len(json.dumps(redacted)) <= MAX_PAYLOAD_CHARACTERS:
        return redacted
    if not isinstance(redacted, dict):
        return CUT
    return {
        name: value if len(json.dumps(value)) <= MAX_FIELD_CHARACTERS else CUT
        for name, value in list(redacted.items())[:MAX_FIELDS]
    }

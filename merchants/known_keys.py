"""The API keys with which this process has authenticated requests, and their merchants.

For what must be decided before a request is authenticated: who waits behind whom (`payment_platform/admission.py`). It
proves nothing: a caller may send the key of another merchant. It never has a key that somebody made up.
"""

import threading
import uuid
from collections import OrderedDict

MAX_KEYS = 10_000

_merchants: OrderedDict[str, uuid.UUID] = OrderedDict()
_lock = threading.Lock()


def remember_key(api_key: str, merchant_id: uuid.UUID) -> None:
    """Call it after the signature was verified. Above the limit, the key that was remembered first is forgotten."""
    if api_key in _merchants:
        return
    with _lock:
        _merchants[api_key] = merchant_id
        if len(_merchants) > MAX_KEYS:
            _merchants.popitem(last=False)


def find_merchant(api_key: str) -> uuid.UUID | None:
    """None for a key that this process has not seen a valid signature of."""
    return _merchants.get(api_key)

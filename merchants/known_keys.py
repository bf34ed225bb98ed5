"""The API keys with which this process has authenticated requests, and their merchants.

Requests are scheduled fairly between merchants before they are authenticated (`payment_platform/admission.py`). A known
key proves nothing, because a caller may send the key of another merchant. A made-up key is never known.
"""

import threading
import uuid
from collections import OrderedDict

MAX_KEYS = 10_000

_merchants: OrderedDict[str, uuid.UUID] = OrderedDict()
_lock = threading.Lock()


def remember_key(api_key: str, merchant_id: uuid.UUID) -> None:
    """Call it after the signature was verified. Above the limit, the oldest key is forgotten."""
    if api_key in _merchants:
        return
    with _lock:
        _merchants[api_key] = merchant_id
        if len(_merchants) > MAX_KEYS:
            _merchants.popitem(last=False)


def find_merchant(api_key: str) -> uuid.UUID | None:
    """Returns the merchant of the key. None for a key of which this process has not verified a signature."""
    return _merchants.get(api_key)

"""Scopes of API keys. Names are public and never change."""

from typing import Final

PAYMENTS_READ: Final = "payments:read"
PAYMENTS_WRITE: Final = "payments:write"
REFUNDS_READ: Final = "refunds:read"
REFUNDS_WRITE: Final = "refunds:write"
ORDERS_READ: Final = "orders:read"
ORDERS_WRITE: Final = "orders:write"
KEYS_MANAGE: Final = "keys:manage"
WEBHOOKS_MANAGE: Final = "webhooks:manage"
EVENTS_READ: Final = "events:read"
CHANNEL_ACCOUNTS_READ: Final = "channel_accounts:read"
CHANNEL_ACCOUNTS_WRITE: Final = "channel_accounts:write"

ALL_SCOPES: Final = (
    PAYMENTS_READ,
    PAYMENTS_WRITE,
    REFUNDS_READ,
    REFUNDS_WRITE,
    ORDERS_READ,
    ORDERS_WRITE,
    KEYS_MANAGE,
    WEBHOOKS_MANAGE,
    EVENTS_READ,
    CHANNEL_ACCOUNTS_READ,
    CHANNEL_ACCOUNTS_WRITE,
)

# For views that any authenticated key may call.
ANY_KEY: Final = None

"""Services that change merchants and API keys. Keyword-only, one transaction each."""

from merchants.services.api_keys import NewKey, Rotation, issue_key, revoke_key, rotate_key
from merchants.services.demo import seed_demo_merchant
from merchants.services.merchants import NewMerchant, create_merchant, set_merchant_status
from merchants.services.nonces import prune_nonces, spend_nonce
from merchants.services.usage import flush_key_usage

__all__ = [
    "NewKey",
    "NewMerchant",
    "Rotation",
    "create_merchant",
    "flush_key_usage",
    "issue_key",
    "prune_nonces",
    "revoke_key",
    "rotate_key",
    "seed_demo_merchant",
    "set_merchant_status",
    "spend_nonce",
]

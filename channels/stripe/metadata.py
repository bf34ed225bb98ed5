"""The metadata of objects that we create at Stripe: our own entries, and entries of the merchant.

An object that we did not create, or that belongs to the other environment, has no reference of ours. The environment is
that of the key that reads an object, or of the secret that signed its event: not every object of Stripe has `livemode`
(a Refund has none).
"""

from collections.abc import Mapping

from channels.base import CreatePayment, PaymentOrigin
from channels.stripe.fields import StripeJson

# Names of our entries. Entries of the merchant never begin like these: see `build_metadata`.
PREFIX = "payment_platform_"
PAYMENT_NO, REFUND_NO = f"{PREFIX}payment_no", f"{PREFIX}refund_no"
# DIRECT marks a PaymentIntent that charges a saved card without a page.
ENVIRONMENT, DIRECT = f"{PREFIX}environment", f"{PREFIX}direct"
# Whose payment it is, for a restored database that does not know it.
MERCHANT_ID, ORDER_NO = f"{PREFIX}merchant_id", f"{PREFIX}order_no"
# docs.stripe.com/api/metadata
MAX_ENTRIES, MAX_NAME, MAX_VALUE = 50, 40, 500


def build_metadata(merchants: Mapping[str, str], ours: Mapping[str, str], environment: str) -> dict[str, str]:
    """Returns our entries, and as many of the merchant's as Stripe accepts.

    An entry that Stripe would refuse is left out: it must not prevent a payment.
    """
    own = {ENVIRONMENT: environment, **ours}
    accepted = {name: value[:MAX_VALUE] for name, value in merchants.items() if _is_accepted(name, value)}
    return {**dict(list(accepted.items())[: MAX_ENTRIES - len(own)]), **own}


def build_payment_labels(request: CreatePayment) -> dict[str, str]:
    """Our entries of a payment. Stripe refuses an empty value."""
    labels = {PAYMENT_NO: request.reference, MERCHANT_ID: request.merchant_id, ORDER_NO: request.order_no}
    return {name: value for name, value in labels.items() if value}


def _is_accepted(name: str, value: str) -> bool:
    """Stripe refuses square brackets in names, and an empty value means "remove this entry"."""
    is_valid_name = 0 < len(name) <= MAX_NAME and "[" not in name and "]" not in name
    return is_valid_name and bool(value) and not name.startswith(PREFIX)


def read_reference(fields: StripeJson, entry: str, environment: str) -> str:
    """Returns one of our entries, such as `PAYMENT_NO`. Empty for an object that is not ours in this environment."""
    metadata = fields.get("metadata") or {}
    return str(metadata.get(entry) or "") if metadata.get(ENVIRONMENT) == environment else ""


def read_origin(fields: StripeJson, environment: str) -> PaymentOrigin | None:
    merchant_id = read_reference(fields, MERCHANT_ID, environment)
    return PaymentOrigin(merchant_id, read_reference(fields, ORDER_NO, environment)) if merchant_id else None


def is_direct(fields: StripeJson) -> bool:
    """Whether the PaymentIntent charges a saved card, without a page."""
    return bool((fields.get("metadata") or {}).get(DIRECT))

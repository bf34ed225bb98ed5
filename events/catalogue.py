"""All event types. Names are public and never change; docs/events holds the JSON schema of each.

To add one, see docs/guides/add-an-event.md.
"""

from typing import Final

PAYMENT_TYPES: Final = (
    "payment.created",
    "payment.retried",
    "payment.authorized",
    "payment.authorization_incremented",
    "payment.captured",
    "payment.succeeded",
    "payment.failed",
    "payment.cancelled",
    "payment.expired",
    "payment.late_success",
    "payment.paid_twice",
)
REFUND_TYPES: Final = ("refund.succeeded", "refund.failed", "refund.late_success")
DISPUTE_TYPES: Final = (
    "dispute.created",
    "dispute.updated",
    "dispute.won",
    "dispute.lost",
    "dispute.closed",
)
PAYOUT_TYPES: Final = (
    "payout.created",
    "payout.paid",
    "payout.failed",
    "payout.returned",
    "payout.canceled",
)
# Their ordering key is the payment's number.
PAYMENT_KEYED_TYPES: Final = (*PAYMENT_TYPES, *REFUND_TYPES, *DISPUTE_TYPES)
ENDPOINT_DISABLED_TYPE: Final = "webhook_endpoint.disabled"
# Sent only to the endpoint for which the test was requested, whatever it subscribes to.
TEST_TYPE: Final = "webhook.test"

SUBSCRIBABLE_TYPES: Final = (*PAYMENT_KEYED_TYPES, *PAYOUT_TYPES, ENDPOINT_DISABLED_TYPE)
ALL_TYPES: Final = (*SUBSCRIBABLE_TYPES, TEST_TYPE)

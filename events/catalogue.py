"""Every type of event there is. Names are public and never change; docs/events holds a JSON schema for each."""

from typing import Final

PAYMENT_TYPES: Final = (
    "payment.created",
    "payment.retried",
    "payment.authorized",
    "payment.succeeded",
    "payment.failed",
    "payment.cancelled",
    "payment.expired",
    "payment.late_success",
    "payment.paid_twice",
)
REFUND_TYPES: Final = ("refund.succeeded", "refund.failed", "refund.late_success")
DISPUTE_TYPES: Final = ("payment.dispute.created", "payment.dispute.updated", "payment.dispute.closed")
# Their ordering key is the payment's number.
OF_PAYMENTS: Final = (*PAYMENT_TYPES, *REFUND_TYPES, *DISPUTE_TYPES)
ENDPOINT_DISABLED: Final = "webhook_endpoint.disabled"
# Goes to the endpoint that asked for it alone, whatever it subscribes to.
TEST: Final = "webhook.test"

SUBSCRIBABLE: Final = (*OF_PAYMENTS, ENDPOINT_DISABLED)
ALL_TYPES: Final = (*SUBSCRIBABLE, TEST)

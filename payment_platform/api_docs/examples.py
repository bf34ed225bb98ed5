"""Examples of the OpenAPI document. Each is checked against its schema in the tests."""

from typing import Any

Example = dict[str, Any]

PAYMENT: Example = {
    "payment_no": "PAY-20261127-482913570164",
    "order_no": "ORDER-1001",
    "amount": 10000,
    "currency": "USD",
    "status": "pending",
    "channel": "stripe",
    "channel_account": None,
    "sandbox": True,
    "channel_trade_no": "sim_7f3a2c9d",
    "payment_method": "card",
    "card": None,
    "payment_url": "https://pay.example.com/checkout/8sKq",
    "next_action": {"type": "redirect", "url": "https://pay.example.com/checkout/8sKq"},
    "checkout_url": "https://pay.example.com/checkout/8sKq",
    "capture_method": "automatic",
    "authorized_amount": 0,
    "capturable_amount": 0,
    "captured_amount": 0,
    "refunded_amount": 0,
    "refundable_amount": 0,
    "disputed_amount": 0,
    "refund_status": "none",
    "subject": "Two coffees",
    "body": "",
    "callback_url": "https://shop.example.com/webhooks/payments",
    "return_url": "https://shop.example.com/orders/1001",
    "customer": {"email": "li@example.com"},
    "metadata": {"basket": "7"},
    "failure_code": None,
    "failure_message": None,
    "environment": "test",
    "created_at": "2026-11-27T08:00:00.000Z",
    "expires_at": "2026-11-27T08:30:00.000Z",
    "paid_at": None,
}
REFUND: Example = {
    "refund_no": "REF-20261127-771204938851",
    "payment_no": "PAY-20261127-482913570164",
    "channel_account": None,
    "amount": 5000,
    "currency": "USD",
    "status": "succeeded",
    "reason": "one coffee sent back",
    "channel_refund_no": "sim_re_51b0",
    "failure_code": None,
    "failure_message": None,
    "environment": "test",
    "created_at": "2026-11-27T09:00:00.000Z",
    "settled_at": "2026-11-27T09:00:00.120Z",
    "origin": "merchant",
    "previous_status": None,
    "outcome_changed_at": None,
    "late_refunded_amount": 0,
}
ORDER: Example = {
    "order_no": "ORDER-1001",
    "amount": 10000,
    "currency": "USD",
    "status": "pending",
    "subject": "Two coffees",
    "items": [{"name": "Coffee", "quantity": 2, "unit_amount": 5000, "amount": 10000}],
    "metadata": {},
    "environment": "test",
    "created_at": "2026-11-27T08:00:00.000Z",
    "paid_at": None,
    "cancelled_at": None,
}

REQUEST_EXAMPLES: dict[str, Example] = {
    "payments_create": {
        "order_no": "ORDER-1001",
        "amount": 10000,
        "currency": "USD",
        "channel": "stripe",
        "subject": "Two coffees",
        "callback_url": "https://shop.example.com/webhooks/payments",
        "return_url": "https://shop.example.com/orders/1001",
        "customer": {"email": "li@example.com"},
        "metadata": {"basket": "7"},
    },
    "payments_capture": {"amount": 8000, "final_capture": True},
    "payments_increment_authorization": {"amount": 12000},
    "payments_cancel": {"reason": "the customer changed their mind"},
    "refunds_create": {
        "payment_no": "PAY-20261127-482913570164",
        "amount": 5000,
        "reason": "one coffee sent back",
    },
    "orders_create": {
        "order_no": "ORDER-1001",
        "amount": 10000,
        "currency": "USD",
        "subject": "Two coffees",
        "items": [{"name": "Coffee", "quantity": 2, "unit_amount": 5000}],
    },
    "orders_cancel": {"reason": "sold out"},
    "webhook_endpoints_create": {
        "url": "https://shop.example.com/webhooks",
        "event_types": ["payment.succeeded", "refund.succeeded"],
    },
    "api_keys_create": {"label": "till 3", "scopes": ["payments:write"], "allowed_ips": ["203.0.113.7"]},
}


def _answer(data: Example, message: str = "Created") -> Example:
    return {"code": 0, "message": message, "data": data}


RESPONSE_EXAMPLES: dict[str, Example] = {
    "payments_create": _answer(PAYMENT),
    "refunds_create": _answer(REFUND, "Refund created"),
    "refunds_retrieve": _answer(REFUND, "Success"),
    "orders_create": _answer(ORDER),
    "orders_retrieve": _answer(ORDER, "Success"),
}
ERROR_EXAMPLES: dict[str, Example] = {
    "4XX": {
        "code": 40000,
        "error": "The request is not valid: see details for the fields.",
        "error_code": "validation_failed",
        "details": {"amount": ["The amount must be an integer of minor units."]},
        "request_id": "req_0d9f2c7a51b84e6f93aa17c2",
    },
    "5XX": {
        "code": 50300,
        "error": "The service is not available right now. Please try again.",
        "error_code": "service_unavailable",
        "details": {},
        "request_id": "req_0d9f2c7a51b84e6f93aa17c2",
    },
}

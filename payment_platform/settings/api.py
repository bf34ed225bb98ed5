"""The API: rate limits, Django REST framework, and the OpenAPI document."""

from payment_platform.settings.base import env

# Requests per second of one API key, on average.
RATE_LIMIT_PER_SECOND: float = env.float("RATE_LIMIT_PER_SECOND", default=100.0)
# Requests that one API key may send at once.
RATE_LIMIT_BURST: int = env.int("RATE_LIMIT_BURST", default=200)

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["common.api.renderers.JsonRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "common.api.negotiation.JsonNegotiation",
    "DEFAULT_PARSER_CLASSES": ["common.api.parsers.StrictJsonParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["merchants.authentication.SignatureAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["merchants.permissions.HasScope"],
    "EXCEPTION_HANDLER": "common.api.exceptions.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    # So that `?format=` is refused as an unknown field.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Payment Platform API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": (
        "Payments, refunds and orders for merchants. Every write is idempotent.\n\n"
        "Never send card numbers or security codes, in no field: texts such as `subject`, `reason` and `metadata` are "
        "stored, and sent in events, as you give them.\n\n"
        "Guides: [Signing](/api/docs/signing) · [Idempotency](/api/docs/idempotency) · [Errors](/api/docs/errors) · "
        "[Events and webhooks](/api/docs/events) · [Simulator](/api/docs/simulator)"
    ),
    "LICENSE": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
    "SERVERS": [{"url": "/", "description": "The host that serves this document."}],
    "TAGS": [
        {"name": "payments", "description": "Create, read, capture and cancel payments."},
        {"name": "refunds", "description": "Refund payments, and read refunds."},
        {"name": "disputes", "description": "Read the disputes that customers opened at their bank."},
        {"name": "balance", "description": "Read your balance."},
        {"name": "balance-transactions", "description": "Read what changed your balance."},
        {"name": "statements", "description": "Read your statements of each day and month."},
        {"name": "payable-balance", "description": "Read what is payable, and what is kept back."},
        {"name": "payouts", "description": "Read what the platform has paid to your bank account."},
        {"name": "orders", "description": "Create, read and cancel orders."},
        {"name": "channel", "description": "Payments by the channel's number."},
        {"name": "merchant", "description": "Your account and its API keys."},
        {"name": "events", "description": "List events, instead of receiving webhooks."},
        {"name": "webhook-endpoints", "description": "Where events are delivered."},
        {"name": "webhook-deliveries", "description": "Read webhook deliveries and send them again."},
        {"name": "webhooks", "description": "What we send to your endpoints."},
    ],
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Offline: the documentation page loads nothing from other hosts.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "payment_platform.api_docs.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "PaymentStatus": "gateway.models.PaymentStatus",
        "RefundStatus": "gateway.models.RefundStatus",
        "OrderStatus": "orders.models.OrderStatus",
        "Environment": "merchants.models.Environment",
        "DisputeStatus": "gateway.models.DisputeStatus",
        "OperationStatus": "gateway.models.CaptureStatus",  # also of increments
        "RefundOrigin": "gateway.models.RefundOrigin",
        "PayoutStatus": "payouts.models.PayoutStatus",
        "RefundState": ["none", "partial", "full"],
        "ChannelAccountKind": "channel_accounts.models.ACCOUNT_KINDS",
        "Scope": "merchants.scopes.ALL_SCOPES",
        "PaymentAttemptStatus": "gateway.models.AttemptStatus",
        "SubscribableEventType": "events.catalogue.SUBSCRIBABLE_TYPES",
        "MerchantStatus": "merchants.models.MerchantStatus",
        "KeyState": "merchants.models.KeyState",
        "WebhookEndpointStatus": "webhooks.api.serializers.SHOWN_STATUSES",
        "WebhookEndpointDisabledReason": "webhooks.models.DisabledReason",
        "ChannelAccountDisabledReason": "channel_accounts.models.AccountDisabledReason",
        "WebhookEndpointKind": "webhooks.models.EndpointKind",
        "WebhookDeliveryStatus": "webhooks.models.DeliveryStatus",
        "WebhookOutcome": "webhooks.models.AttemptOutcome",
        "EventType": "events.api.serializers.EVENT_TYPES",
    },
}

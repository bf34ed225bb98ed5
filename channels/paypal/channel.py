"""PayPal (Orders v2) as a channel: docs/CHANNELS.md, "PayPal"."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from channels.base import (
    LIVE,
    ActionType,
    AmountLimits,
    CancelPayment,
    CapturePayment,
    ChannelAccount,
    ChannelCapabilities,
    ChannelPayment,
    ChannelRefund,
    CompletePayment,
    CreatePayment,
    CreateRefund,
    CredentialCheck,
    IncrementAuthorization,
    ListingEntry,
    ListingWindow,
    PaymentMethod,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    RefundRules,
    WebhookEvent,
    WebhookRequest,
)
from channels.paypal import credential_check, listing, payments, refunds, webhooks
from channels.paypal.amounts import AMOUNT_STEPS, CURRENCIES
from channels.paypal.config import (
    CREDENTIAL_FIELDS,
    find_missing_setting,
    get_api_base,
    get_platform_credentials,
    get_webhook_ids,
    is_production,
)
from channels.paypal.errors import FAILURES, Result, convert_failure
from channels.paypal.orders import METHOD, REDIRECT_SECONDS

T = TypeVar("T")
# "The server stores keys for 6 hours" (developer.paypal.com/docs/api/orders/v2, PayPal-Request-Id).
KEY_LIFETIME_SECONDS = 6 * 3600
# developer.paypal.com/docs/api/payments/v2: refunds within 180 days.
REFUND_WINDOW_DAYS = 180


class PayPalChannel:
    name = "paypal"
    capabilities = ChannelCapabilities(
        methods=(
            PaymentMethod(
                METHOD,
                ActionType.REDIRECT,
                currencies=dict.fromkeys(CURRENCIES, AmountLimits()),
                max_seconds_to_pay=REDIRECT_SECONDS,
                can_capture_manually=True,
            ),
        ),
        amount_steps=AMOUNT_STEPS,
        idempotency_key_lifetime_seconds=KEY_LIFETIME_SECONDS,
        refunds=RefundRules(window_days=REFUND_WINDOW_DAYS),
        has_calls_in_webhooks=True,
    )
    credential_fields = CREDENTIAL_FIELDS
    is_sandbox = False
    disputes = None

    def get_unavailable_reason(self, environment: str) -> str | None:
        missing = find_missing_setting(environment)
        return f"{missing} is not set" if missing else None

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return get_platform_credentials(environment)

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        return credential_check.check_credentials(account, timeout_seconds)

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return account.environment == LIVE or is_production(get_api_base(account.environment))

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        return bool(get_webhook_ids(account))

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        return _run(lambda: payments.create_payment(request))

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return _run(lambda: payments.find_payment(payment), is_query=True)

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        return _run(lambda: payments.complete_payment(request))

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return _run(lambda: payments.cancel_payment(request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        return _run(lambda: payments.capture_payment(request))

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        raise NotImplementedError("PayPal's channel declares no increments of an authorization")

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        return _run(lambda: refunds.refund_payment(request))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        return _run(lambda: refunds.find_refund(refund), is_query=True)

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        return _run(lambda: refunds.find_refunds(payment), is_query=True)

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        return webhooks.parse_webhook(account, request)

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return listing.list_payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return listing.list_refunds(window)


def _run(call: Callable[[], T], *, is_query: bool = False) -> T | Result:
    """Runs an operation, and converts its exceptions into a result."""
    try:
        return call()
    except FAILURES as failure:
        return convert_failure(failure, is_query=is_query)

"""Stripe as a channel of the platform, over Stripe's own SDK. See docs/CHANNELS.md."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO, TypeVar

import stripe
import structlog

from channels.base import (
    LIVE,
    AcceptDispute,
    ActionType,
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
    DisputeRef,
    DisputeResult,
    FileResult,
    IncrementAuthorization,
    InvalidRequest,
    ListingEntry,
    ListingWindow,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentMethod,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    StatementRequest,
    SubmitEvidence,
    UnexpectedFormat,
    UnknownOutcome,
    UploadEvidence,
    WebhookEvent,
    WebhookRequest,
)
from channels.stripe import (
    amounts,
    config,
    disputes,
    errors,
    listing,
    lookup,
    payments,
    refunds,
    setup,
    statement_file,
    webhooks,
)
from channels.stripe.amounts import UnsupportedAmount

log = structlog.get_logger(__name__)
R = TypeVar("R", PaymentResult, RefundResult, RefundListResult, DisputeResult, FileResult)

_NEEDED_OBJECT_MISSING = InvalidRequest(
    "resource_missing", "Stripe does not know an object that this payment needs."
)


class StripeDisputes:
    rules = disputes.RULES

    def upload_evidence(self, request: UploadEvidence) -> FileResult:
        return _call_for_dispute(request.dispute, lambda api: disputes.upload_evidence(api, request))

    def submit_evidence(self, request: SubmitEvidence) -> DisputeResult:
        return _call_for_dispute(request.dispute, lambda api: disputes.submit_evidence(api, request))

    def accept_dispute(self, request: AcceptDispute) -> DisputeResult:
        return _call_for_dispute(request.dispute, lambda api: disputes.accept_dispute(api, request))

    def find_dispute(self, dispute: DisputeRef) -> DisputeResult:
        return _call_for_dispute(dispute, lambda api: disputes.find_dispute(api, dispute))


class StripeChannel:
    name = "stripe"
    is_sandbox = False
    disputes = StripeDisputes()
    credential_fields = config.CREDENTIAL_FIELDS
    capabilities = ChannelCapabilities(
        methods=(
            PaymentMethod(
                "card",
                ActionType.REDIRECT,
                max_seconds_to_pay=payments.MAX_SESSION_SECONDS,
                can_capture_manually=True,
                optional_options=payments.CARD_FEATURES,
                option_values=dict.fromkeys(payments.CARD_FEATURES, payments.FEATURE_VALUES),
            ),
        ),
        amount_steps=amounts.STEPS,
        statement_formats=statement_file.FORMATS,
        # docs.stripe.com/payments/multicapture, docs.stripe.com/payments/incremental-authorization. The card and the
        # merchant's account decide whether a payment can do it.
        is_repeated_capture_allowed=True,
        max_captures=50,
        max_authorization_increments=10,
        # Stripe forgets keys after 24 hours at the earliest (docs.stripe.com/api/idempotent_requests). The hour is for
        # clocks that differ and calls on their way.
        idempotency_key_lifetime_seconds=23 * 3600,
    )

    def get_unavailable_reason(self, environment: str) -> str | None:
        if self.get_platform_credentials(environment)[config.SECRET_KEY]:
            return None
        return f"STRIPE_{environment.upper()}_SECRET_KEY is not set."

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return config.get_platform_credentials(environment)

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        return setup.check_credentials(account, timeout_seconds)

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return account.environment == LIVE  # keys of test mode cannot (docs.stripe.com/keys)

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        return bool(config.get_webhook_secrets(account) or config.get_connect_webhook_secrets(account))

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        result = _refuse_not_found(
            _call(request.account, request.timeout_seconds, lambda api: payments.create_payment(api, request))
        )
        if isinstance(result, NewKeyRequired) and not payments.has_saved_card(request):
            # Nobody knows the address of a page that a call with this key may have created.
            return replace(result, is_harmless=True)
        return result

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return _call_for(payment, lambda api: lookup.find_payment(api, payment))

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        raise NotImplementedError("Stripe never reports a payment as approved: it charges by itself")

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return _call_for(request.payment, lambda api: payments.cancel_payment(api, request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        return _refuse_not_found(
            _call_for(request.payment, lambda api: payments.capture_payment(api, request))
        )

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        return _refuse_not_found(
            _call_for(request.payment, lambda api: payments.increment_authorization(api, request))
        )

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        return _refuse_not_found(_call_for(request.payment, lambda api: refunds.create_refund(api, request)))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        return _call_for(refund.payment, lambda api: refunds.find_refund(api, refund))

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        return _call_for(payment, lambda api: refunds.find_refunds(api, payment))

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return listing.list_payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return listing.list_refunds(window)

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        return statement_file.write_statement(request, target)

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        return webhooks.parse_webhook(account, request)


def _call_for_dispute(dispute: DisputeRef, send: Callable[[stripe.StripeClient], R]) -> R:
    return _call(dispute.account, dispute.timeout_seconds, send)


def _call_for(payment: PaymentRef, send: Callable[[stripe.StripeClient], R]) -> R:
    return _call(payment.account, payment.timeout_seconds, send)


def _call(account: ChannelAccount, timeout_seconds: float, send: Callable[[stripe.StripeClient], R]) -> R:
    """Converts every exception of a call into a result."""
    try:
        return send(config.build_client(account, timeout_seconds))
    except stripe.StripeError as error:
        return errors.to_result(error)
    except UnsupportedAmount as error:
        return error.to_result()
    except lookup.ListTooLong:
        return UnknownOutcome("too many payments to look through", is_channel_fault=False)
    except UnexpectedFormat as error:
        log.error("stripe.unreadable", reason=str(error))
        return UnknownOutcome(f"Stripe's answer is not understood: {error}")


def _refuse_not_found(result: R) -> R | InvalidRequest:
    """For calls that change something: an object that the call needs does not exist, a saved card or the payment."""
    if not isinstance(result, NotFoundAtChannel):
        return result
    log.error("stripe.invalid_request", code=_NEEDED_OBJECT_MISSING.code)
    return _NEEDED_OBJECT_MISSING

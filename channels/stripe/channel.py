"""Stripe as a channel of the platform, over Stripe's own SDK. See docs/CHANNELS.md."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import stripe
import structlog

from channels.base import (
    LIVE,
    TEST,
    CancelPayment,
    CapturePayment,
    ChannelEvent,
    ChannelLimits,
    ChannelPayment,
    ChannelRefund,
    CreatePayment,
    CreateRefund,
    InvalidRequest,
    ListingEntry,
    ListingWindow,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    UnknownOutcome,
)
from channels.stripe import amounts, config, errors, listing, lookup, payments, refunds, webhooks
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.shapes import Unreadable

log = structlog.get_logger(__name__)
A = TypeVar("A", PaymentResult, RefundResult, RefundListResult)

_NOT_THERE = InvalidRequest("resource_missing", "Stripe does not know what this payment is about.")


class StripeChannel:
    name = "stripe"
    is_sandbox = False
    limits = ChannelLimits(
        max_seconds_to_pay=payments.MAX_SESSION_SECONDS,
        amount_steps=amounts.STEPS,
        # Stripe forgets keys after 24 hours at the earliest (docs.stripe.com/api/idempotent_requests). The hour is for
        # clocks that differ and calls on their way.
        idempotency_key_lifetime_seconds=23 * 3600,
    )

    def get_unavailable_reason(self, environment: str) -> str | None:
        if config.secret_key(environment):
            return None
        return f"STRIPE_{environment.upper()}_SECRET_KEY is not set."

    def can_receive_webhooks(self) -> bool:
        return any(config.webhook_secrets(environment) for environment in (TEST, LIVE))

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        api = config.client(request.environment, request.timeout_seconds)
        answer = _done(_answer(lambda: payments.create(api, request)))
        if isinstance(answer, NewKeyRequired) and not payments.is_saved_card(request):
            return replace(
                answer, is_harmless=True
            )  # nobody has the address of a page that this key may have opened
        return answer

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        api = _client_for(payment)
        return _answer(lambda: lookup.payment(api, payment))

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        api = _client_for(request.payment)
        return _answer(lambda: payments.cancel(api, request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        api = _client_for(request.payment)
        return _done(_answer(lambda: payments.capture(api, request)))

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        api = _client_for(request.payment)
        return _done(_answer(lambda: refunds.create(api, request)))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        api = _client_for(refund.payment)
        return _answer(lambda: refunds.find(api, refund))

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        api = _client_for(payment)
        return _answer(lambda: refunds.find_all(api, payment))

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return listing.payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return listing.refunds(window)

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
        return webhooks.parse(body=body, headers=headers)


def _client_for(payment: PaymentRef) -> stripe.StripeClient:
    return config.client(payment.environment, payment.timeout_seconds)


def _done(answer: A) -> A | InvalidRequest:
    """Something that the call needs does not exist there: a saved card, or the payment itself."""
    if not isinstance(answer, NotFoundAtChannel):
        return answer
    log.error("stripe.invalid_request", code=_NOT_THERE.code)
    return _NOT_THERE


def _answer(ask: Callable[[], A]) -> A:
    """An object that we cannot read tells nothing about what happened."""
    try:
        return ask()
    except stripe.StripeError as error:
        return errors.answer_to(error)
    except UnsupportedAmount as error:
        return error.as_answer()
    except lookup.TooMany:
        return UnknownOutcome("too many payments to look through", is_channel_fault=False)
    except Unreadable as error:
        log.error("stripe.unreadable", reason=str(error))
        return UnknownOutcome(f"Stripe's answer is not understood: {error}")

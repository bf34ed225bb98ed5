"""Stripe as a channel of the platform, over Stripe's own SDK. See docs/CHANNELS.md."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import stripe
import structlog

from gateway.channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelEvent,
    ChannelPayment,
    ChannelRefund,
    CreatePayment,
    CreateRefund,
    Declined,
    Listed,
    Missing,
    PaymentAnswer,
    PaymentRef,
    RefundAnswer,
    RefundRef,
    Unknown,
    Window,
)
from gateway.channels.stripe import config, errors, listing, lookup, payments, refunds, webhooks
from gateway.channels.stripe.shapes import Unreadable

log = structlog.get_logger(__name__)
A = TypeVar("A", PaymentAnswer, RefundAnswer)

_NOT_THERE = Declined("no_such_object", "Stripe does not know what this payment is about.")


class StripeChannel:
    name = "stripe"

    def create_payment(self, request: CreatePayment) -> PaymentAnswer:
        api = config.client(request.environment, request.timeout_seconds)
        return _done(_answer(lambda: payments.create(api, request)))

    def find_payment(self, payment: PaymentRef) -> PaymentAnswer:
        api = _client_for(payment)
        return _answer(lambda: lookup.payment(api, payment))

    def cancel_payment(self, request: CancelPayment) -> PaymentAnswer:
        api = _client_for(request.payment)
        return _answer(lambda: payments.cancel(api, request))

    def capture_payment(self, request: CapturePayment) -> PaymentAnswer:
        api = _client_for(request.payment)
        return _done(_answer(lambda: payments.capture(api, request)))

    def refund_payment(self, request: CreateRefund) -> RefundAnswer:
        api = _client_for(request.payment)
        return _done(_answer(lambda: refunds.create(api, request)))

    def find_refund(self, refund: RefundRef) -> RefundAnswer:
        api = _client_for(refund.payment)
        return _answer(lambda: refunds.find(api, refund))

    def list_payments(self, window: Window) -> Iterator[Listed[ChannelPayment]]:
        return listing.payments(window)

    def list_refunds(self, window: Window) -> Iterator[Listed[ChannelRefund]]:
        return listing.refunds(window)

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
        return webhooks.parse(body=body, headers=headers)


def _client_for(payment: PaymentRef) -> stripe.StripeClient:
    return config.client(payment.environment, payment.timeout_seconds)


def _done(answer: A) -> A | Declined:
    """Something that the call needs does not exist there: a saved card, or the payment itself."""
    return _NOT_THERE if isinstance(answer, Missing) else answer


def _answer(ask: Callable[[], A]) -> A:
    """An object that we cannot read tells nothing about what happened."""
    try:
        return ask()
    except stripe.StripeError as error:
        return errors.answer_to(error)
    except Unreadable as error:
        log.error("stripe.unreadable", reason=str(error))
        return Unknown(f"Stripe's answer is not understood: {error}")

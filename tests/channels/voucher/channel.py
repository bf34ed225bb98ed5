"""The smallest complete channel: vouchers that a shop accepts. It is the example of docs/CHANNELS.md."""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from channels.base import (
    LIVE,
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
    CredentialField,
    CredentialsAccepted,
    Declined,
    IncrementAuthorization,
    ListingEntry,
    ListingWindow,
    NotFoundAtChannel,
    PaymentMethod,
    PaymentRef,
    PaymentResult,
    PaymentState,
    RedirectAction,
    RefundListResult,
    RefundRef,
    RefundResult,
    RefundState,
    Reported,
    UnknownOutcome,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from tests.channels.voucher.bank import VoucherBank

SECRET = b"voucher-secret"
SIGNATURE_HEADER = "Voucher-Signature"
R = TypeVar("R", PaymentResult, RefundResult)


class VoucherChannel:
    name = "voucher"
    capabilities = ChannelCapabilities(
        methods=(PaymentMethod("voucher", ActionType.REDIRECT, can_capture_manually=True),)
    )
    credential_fields: tuple[CredentialField, ...] = ()
    is_sandbox = False

    def __init__(self) -> None:
        self.bank = VoucherBank()

    def get_unavailable_reason(self, environment: str) -> str | None:
        return None

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return {}

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        return CredentialsAccepted()

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return account.environment == LIVE

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        return True

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        def create() -> PaymentResult:
            payment = ChannelPayment(
                reference=request.reference,
                channel_trade_no=f"v-{request.reference}",
                state=PaymentState.OPEN,
                amount_minor=request.amount_minor,
                currency=request.currency,
                next_action=RedirectAction(f"https://voucher.example/{request.reference}"),
            )
            if request.manual_capture:
                self.bank.manual.add(request.reference)
            self.bank.created_at.setdefault(request.reference, dt.datetime.now(dt.UTC))
            return Reported(self.bank.payments.setdefault(request.reference, payment))

        return self._send(create)

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        found = self.bank.payments.get(payment.reference)
        return Reported(found) if found else NotFoundAtChannel()

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        raise NotImplementedError("a voucher is never approved: it pays at once")

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        cancellable = (PaymentState.OPEN, PaymentState.AUTHORIZED)
        return self._change_payment(request.payment, cancellable, state=PaymentState.CANCELLED)

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        changes = {"state": PaymentState.PAID, "captured_minor": request.amount_minor}
        return self._change_payment(request.payment, (PaymentState.AUTHORIZED,), **changes)

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        raise NotImplementedError("a voucher declares no increments")

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        def refund() -> RefundResult:
            if request.reference in self.bank.refunds:
                return Reported(self.bank.refunds[request.reference][1])
            payment = self.bank.payments.get(request.payment.reference)
            refunded = sum(each.amount_minor for each in self._refunds_of(request.payment.reference))
            if payment is None or refunded + request.amount_minor > payment.captured_minor:
                return Declined("nothing_to_refund", "more than was paid")
            created = ChannelRefund(
                reference=request.reference,
                channel_refund_no=f"r-{request.reference}",
                state=RefundState.SUCCEEDED,
                amount_minor=request.amount_minor,
                currency=request.currency,
            )
            self.bank.refunds[request.reference] = (payment.reference, created)
            self.bank.created_at[request.reference] = dt.datetime.now(dt.UTC)
            return Reported(created)

        return self._send(refund)

    def find_refund(self, refund: RefundRef) -> RefundResult:
        found = self.bank.refunds.get(refund.reference)
        return Reported(found[1]) if found else NotFoundAtChannel()

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        return Reported(tuple(self._refunds_of(payment.reference)))

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        for payment in self.bank.payments.values():
            created_at = self.bank.created_at[payment.reference]
            if window.since <= created_at < window.until:
                yield ListingEntry(payment, created_at)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        for payment_reference, refund in self.bank.refunds.values():
            created_at = self.bank.created_at[refund.reference]
            if window.since <= created_at < window.until:
                yield ListingEntry(replace(refund, payment_reference=payment_reference), created_at)

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        signature = request.get_header(SIGNATURE_HEADER)
        if not hmac.compare_digest(signature.encode(errors="replace"), sign(request.body).encode()):
            raise WebhookRefused("wrong signature")
        event = json.loads(request.body)
        payment = self.bank.payments.get(event["reference"])
        return WebhookEvent(event["id"], event["type"], (payment,) if payment else ())

    def _change_payment(
        self, payment: PaymentRef, changeable_states: tuple[PaymentState, ...], **changes: Any
    ) -> PaymentResult:
        def change() -> PaymentResult:
            found = self.bank.payments.get(payment.reference)
            if found is None:
                return NotFoundAtChannel()
            if found.state in changeable_states:
                self.bank.payments[payment.reference] = replace(found, **changes)
            return Reported(self.bank.payments[payment.reference])

        return self._send(change)

    def _refunds_of(self, payment_reference: str) -> list[ChannelRefund]:
        return [refund for owner, refund in self.bank.refunds.values() if owner == payment_reference]

    def _send(self, execute: Callable[[], R]) -> R | UnknownOutcome:
        loss = self.bank.losses.pop(0) if self.bank.losses else ""
        if loss == "request":
            return UnknownOutcome("lost")
        result = execute()
        return UnknownOutcome("lost") if loss else result


def sign(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()

"""The simulated bank as a channel of the platform: see docs/SIMULATOR.md."""

from collections.abc import Iterator, Mapping

from channels.base import (
    TEST,
    CancelPayment,
    CapturePayment,
    ChannelEvent,
    ChannelLimits,
    ChannelPayment,
    ChannelRefund,
    CreatePayment,
    CreateRefund,
    Declined,
    ListingEntry,
    ListingWindow,
    NotFoundAtChannel,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
)
from channels.simulator import bank, faults, listing, webhooks
from channels.simulator.faults import METADATA_KEY, Operation, ScriptError
from channels.simulator.network import transmit

_NOT_LIVE = Declined("channel_not_live", "The simulator moves no real money: it serves test keys only.")


class SimulatorChannel:
    name = "simulator"
    is_sandbox = True
    limits = ChannelLimits()

    def get_unavailable_reason(self, environment: str) -> str | None:
        return None if environment == TEST else "the simulator moves no real money."

    def can_receive_webhooks(self) -> bool:
        return True

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        if request.environment != TEST:
            return _NOT_LIVE
        try:
            script = faults.script_for(request.metadata, request.amount_minor)
        except ScriptError as error:
            return _bad_script(error)
        return transmit(
            script,
            Operation.CREATE,
            request.reference,
            request.key,
            request.timeout_seconds,
            lambda: bank.create(request, script),
        )

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        if payment.environment != TEST:
            return NotFoundAtChannel()
        return transmit(
            bank.script_of(payment.reference),
            Operation.QUERY,
            payment.reference,
            "",
            payment.timeout_seconds,
            lambda: bank.find(payment.reference),
        )

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        if request.payment.environment != TEST:
            return NotFoundAtChannel()
        return transmit(
            bank.script_of(request.payment.reference),
            Operation.CANCEL,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.cancel(request),
        )

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        return transmit(
            bank.script_of(request.payment.reference),
            Operation.CAPTURE,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.capture(request),
        )

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        try:
            script = faults.parse(request.metadata.get(METADATA_KEY, ""))
        except ScriptError as error:
            return _bad_script(error)
        if not script.text:
            script = bank.script_of(request.payment.reference)
        return transmit(
            script,
            Operation.REFUND,
            request.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.refund(request, script),
        )

    def find_refund(self, refund: RefundRef) -> RefundResult:
        if refund.payment.environment != TEST:
            return NotFoundAtChannel()
        return transmit(
            bank.script_of(refund.payment.reference),
            Operation.QUERY_REFUND,
            refund.reference,
            "",
            refund.payment.timeout_seconds,
            lambda: bank.find_refund(refund.reference),
        )

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        if payment.environment != TEST:
            return NotFoundAtChannel()
        return transmit(
            bank.script_of(payment.reference),
            Operation.QUERY_REFUND,
            payment.reference,
            "",
            payment.timeout_seconds,
            lambda: bank.find_refunds(payment.reference),
        )

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
        return webhooks.parse(body=body, headers=headers)

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return listing.payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return listing.refunds(window)


def _bad_script(error: ScriptError) -> Declined:
    return Declined("invalid_simulation", str(error))

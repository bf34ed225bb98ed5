"""The simulated bank as a channel of the platform: see docs/SIMULATOR.md."""

from collections.abc import Iterator, Mapping

from channels.base import (
    TEST,
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
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    WebhookEvent,
    WebhookRequest,
)
from channels.simulator import bank, completion, faults, listing, webhooks
from channels.simulator.dispute_port import SimulatorDisputes
from channels.simulator.faults import METADATA_KEY, ScriptError, SimulatedOperation
from channels.simulator.methods import METHODS
from channels.simulator.network import send_call

_NOT_LIVE = Declined("channel_not_live", "The simulator moves no real money: it serves test keys only.")


class SimulatorChannel:
    name = "simulator"
    is_sandbox = True
    disputes = SimulatorDisputes()
    credential_fields: tuple[CredentialField, ...] = ()
    capabilities = ChannelCapabilities(
        methods=METHODS, is_repeated_capture_allowed=True, max_authorization_increments=10
    )

    def get_unavailable_reason(self, environment: str) -> str | None:
        return None if environment == TEST else "the simulator moves no real money."

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return {}

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        return CredentialsAccepted()

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return False

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        return account.environment == TEST

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        if request.environment != TEST:
            return _NOT_LIVE
        try:
            script = faults.choose_script(request.metadata, request.amount_minor)
        except ScriptError as error:
            return _invalid_script(error)
        return send_call(
            script,
            SimulatedOperation.CREATE,
            request.reference,
            request.key,
            request.timeout_seconds,
            lambda: bank.create_payment(request, script),
        )

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        if payment.environment != TEST:
            return NotFoundAtChannel()
        # A dispute names its payment by the bank's number alone.
        reference = payment.reference or bank.find_reference(payment.channel_trade_no)
        return send_call(
            bank.get_script(reference),
            SimulatedOperation.QUERY,
            reference,
            "",
            payment.timeout_seconds,
            lambda: bank.find_payment(reference),
        )

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        return send_call(
            bank.get_script(request.payment.reference),
            SimulatedOperation.COMPLETE,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: completion.complete_payment(request),
        )

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        if request.payment.environment != TEST:
            return NotFoundAtChannel()
        return send_call(
            bank.get_script(request.payment.reference),
            SimulatedOperation.CANCEL,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.cancel_payment(request),
        )

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        return send_call(
            bank.get_script(request.payment.reference),
            SimulatedOperation.CAPTURE,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.capture_payment(request),
        )

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        script = bank.get_script(request.payment.reference)
        return send_call(
            script,
            SimulatedOperation.INCREMENT,
            request.payment.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.increment_authorization(request, script),
        )

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        if request.payment.environment != TEST:
            return _NOT_LIVE
        try:
            script = faults.parse_script(request.metadata.get(METADATA_KEY, ""))
        except ScriptError as error:
            return _invalid_script(error)
        if not script.text:
            script = bank.get_script(request.payment.reference)
        return send_call(
            script,
            SimulatedOperation.REFUND,
            request.reference,
            request.key,
            request.payment.timeout_seconds,
            lambda: bank.create_refund(request, script),
        )

    def find_refund(self, refund: RefundRef) -> RefundResult:
        if refund.payment.environment != TEST:
            return NotFoundAtChannel()
        return send_call(
            bank.get_script(refund.payment.reference),
            SimulatedOperation.QUERY_REFUND,
            refund.reference,
            "",
            refund.payment.timeout_seconds,
            lambda: bank.find_refund(refund.reference),
        )

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        if payment.environment != TEST:
            return NotFoundAtChannel()
        return send_call(
            bank.get_script(payment.reference),
            SimulatedOperation.QUERY_REFUND,
            payment.reference,
            "",
            payment.timeout_seconds,
            lambda: bank.find_refunds(payment.reference),
        )

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        return webhooks.parse_webhook(account, request)

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return listing.list_payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return listing.list_refunds(window)


def _invalid_script(error: ScriptError) -> Declined:
    return Declined("invalid_simulation", str(error))

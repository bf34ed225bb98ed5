"""The protocol that every channel implements."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from channels.base.accounts import ChannelAccount, CredentialCheck, CredentialField
from channels.base.capabilities import ChannelCapabilities
from channels.base.disputes import DisputePort
from channels.base.requests import (
    CancelPayment,
    CapturePayment,
    CompletePayment,
    CreatePayment,
    CreateRefund,
    IncrementAuthorization,
    ListingEntry,
    ListingWindow,
    PaymentRef,
    RefundRef,
)
from channels.base.results import PaymentResult, RefundListResult, RefundResult
from channels.base.updates import ChannelPayment, ChannelRefund, WebhookEvent, WebhookRequest


class ListingFailed(Exception):
    """The channel's list was not read to its end: what was read says nothing about the rest."""


class WebhookRefused(Exception):
    """Nothing proves that the channel sent the webhook: wrong signature, too old, or not parseable."""


class Channel(Protocol):
    """One provider of payments. Its class is listed in the setting CHANNELS and is built without arguments.

    Requests carry the account, and with it the environment (`test` or `live`). Amounts are in minor units.
    """

    name: str
    capabilities: ChannelCapabilities
    # What an account of this channel consists of. Empty: the channel has no accounts but the platform's.
    credential_fields: tuple[CredentialField, ...]
    # Moves no real money: with test keys it serves in place of a channel that is not set up.
    is_sandbox: bool
    # Answers disputes; None: merchants answer them on the channel's own pages.
    disputes: DisputePort | None

    def get_unavailable_reason(self, environment: str) -> str | None:
        """Says why the platform's own account cannot serve this environment, for example a setting that is missing."""

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        """Returns the credentials of the platform's own account, from the settings."""

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        """Checks credentials with a call that changes nothing."""

    def moves_real_money(self, account: ChannelAccount) -> bool:
        """Whether payments of the account move real money. The API's server decides this, not the environment."""

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        """Says whether the channel can verify webhooks of this account."""

    def create_payment(self, request: CreatePayment) -> PaymentResult: ...
    def find_payment(self, payment: PaymentRef) -> PaymentResult: ...
    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        """Only for channels that report `PaymentState.APPROVED`."""

    def cancel_payment(self, request: CancelPayment) -> PaymentResult: ...
    def capture_payment(self, request: CapturePayment) -> PaymentResult: ...
    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        """Only for channels whose `max_authorization_increments` is above 0. A decline leaves the authorization."""

    def refund_payment(self, request: CreateRefund) -> RefundResult: ...
    def find_refund(self, refund: RefundRef) -> RefundResult: ...
    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        """Returns all refunds of the payment, those made in the channel's dashboard included."""

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        """Verifies that the channel sent the raw bytes for this account. Raises `WebhookRefused`."""

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        """Raises `ListingFailed`."""

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        """Each refund has its `payment_reference`, empty for a payment that is not ours. Raises `ListingFailed`."""

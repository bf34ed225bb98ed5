"""The port of all channels: the protocol `Channel`, its requests, and the results that its methods return.

Each method returns one of these results; the result contains the retry decision:

    Reported            the channel reports the payment or refund as it is now
    Declined            it did not happen and never will
    InvalidRequest      our request is wrong; it had no effect
    NotProcessed        it certainly did not happen; retry later
    UnknownOutcome      it may have happened: query, or repeat with the same idempotency key
    NewKeyRequired      repeating this idempotency key is useless: query, then call with a new key
    NotFoundAtChannel   the channel does not know the payment or refund
"""

import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

# Environments.
TEST, LIVE = "test", "live"


# --- Objects that a channel reports ---------------------------------------------------------------------


class PaymentState(enum.StrEnum):
    """The state of a payment at the channel."""

    OPEN = "open"  # waits for the customer
    PROCESSING = "processing"  # the customer has acted, the channel has not decided
    AUTHORIZED = "authorized"  # held, to be captured
    PAID = "paid"
    DECLINED = "declined"
    CANCELLED = "cancelled"


class RefundState(enum.StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChannelPayment:
    """A payment as the channel reports it. `reference` is ours; amounts are in minor units."""

    reference: str
    channel_trade_no: str
    state: PaymentState
    amount_minor: int
    currency: str
    captured_minor: int = 0
    payment_url: str = ""
    failure_code: str = ""
    failure_message: str = ""


@dataclass(frozen=True, slots=True)
class ChannelRefund:
    """A refund as the channel reports it.

    `reference` is our refund number, empty for a refund that was made in the channel's dashboard. Such a refund names
    its payment by `payment_reference` (our number) or by `payment_trade_no` alone (the channel's number).
    """

    reference: str
    channel_refund_no: str
    state: RefundState
    amount_minor: int
    currency: str
    failure_code: str = ""
    failure_message: str = ""
    environment: str = ""
    payment_reference: str = ""
    payment_trade_no: str = ""


class DisputeState(enum.StrEnum):
    """The state of a dispute at the channel."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"  # ended without a decision


@dataclass(frozen=True, slots=True)
class ChannelDispute:
    """The customer takes the money back through their bank. The channel names the payment by its own number alone.

    `is_inquiry`: the bank only asks for information and has taken no money.
    """

    environment: str
    channel_dispute_no: str
    channel_trade_no: str
    amount_minor: int
    currency: str
    reason: str
    state: DisputeState
    is_inquiry: bool = False
    evidence_due_by: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundedPayment:
    """A payment that was refunded; the channel's event does not name the refund."""

    environment: str
    payment_trade_no: str


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A verified webhook. At most one of `payment`, `refund`, `dispute` and `refunded` is set; for events that are only
    acknowledged, none."""

    event_id: str
    event_type: str
    payment: ChannelPayment | None = None
    refund: ChannelRefund | None = None
    dispute: ChannelDispute | None = None
    refunded: RefundedPayment | None = None


# --- Results of calls -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reported(Generic[T]):
    """The channel reports the payment or refund as it is now, in whatever state."""

    value: T


@dataclass(frozen=True, slots=True)
class Declined:
    """The channel's definite "no".

    `code` is one of our failure codes (card_declined, insufficient_funds, …), the same for all channels.
    `can_fail_over`: the reason lies with this channel (an outage of its acquirer, a currency that it does not take), so
    that a fallback channel may accept the same payment.
    """

    code: str
    message: str
    can_fail_over: bool = False


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The call certainly had no effect and can be retried.

    `is_channel_fault`: the channel does not work, which counts for its circuit breaker. `spends_attempt` is False when
    we refused the call ourselves.
    """

    reason: str
    retry_after_seconds: float | None = None
    is_channel_fault: bool = True
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """The call may have had an effect: query, or repeat it with the same idempotency key.

    `is_channel_fault` as in `NotProcessed`. `spends_attempt` is False for a call that was sent as a probe.
    """

    reason: str
    is_channel_fault: bool = True
    spends_attempt: bool = True


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """The channel refuses the request as wrong: a defect of ours, or a wrong parameter of the merchant.

    The call had no effect. With `is_query` the channel refused a query that was part of the operation: that decides
    nothing about the payment or refund. `code` and `param` are the channel's.
    """

    code: str
    message: str
    param: str = ""
    is_query: bool = False


@dataclass(frozen=True, slots=True)
class NewKeyRequired:
    """Repeating the call with this idempotency key is useless: the channel has stored an error as its answer, or
    refuses the parameters that are bound to the key.

    No call with the key is still on its way, so a query that finds nothing is certain. With `is_harmless` no query is
    needed: the calls with this key can move no money, whatever they did.
    """

    reason: str
    is_harmless: bool = False


@dataclass(frozen=True, slots=True)
class NotFoundAtChannel:
    """The channel does not know the payment or refund."""


# Every result that does not report the payment or refund itself.
NotReported = Declined | InvalidRequest | NotProcessed | UnknownOutcome | NewKeyRequired | NotFoundAtChannel

PaymentResult = Reported[ChannelPayment] | NotReported
RefundResult = Reported[ChannelRefund] | NotReported
RefundListResult = Reported[tuple[ChannelRefund, ...]] | NotReported


# --- Requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """`key` is the idempotency key: the same key never creates a second payment.

    `started_at` is when the attempt started, `intended_at` when the intent of the call with this key was committed.
    Both are the same for every repetition. `metadata` is the merchant's.
    """

    key: str
    reference: str
    environment: str
    amount_minor: int
    currency: str
    subject: str
    description: str
    return_url: str
    manual_capture: bool
    expires_in_seconds: int
    timeout_seconds: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    started_at: dt.datetime | None = None
    intended_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """Names a payment. `channel_trade_no` is empty when the answer to its creation was lost: the payment is then found
    in the channel's lists of the time around `started_at`."""

    reference: str
    environment: str
    timeout_seconds: float
    channel_trade_no: str = ""
    started_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """Ends an unpaid payment, or releases an authorized one.

    The channel reports the payment as it then is: PAID when the customer was faster. A channel that does not know the
    payment makes sure that its creation is refused later, or returns `NotFoundAtChannel`. `creation` is the call whose
    answer was lost, when the channel's number is not known: a channel may repeat it with its key to learn which payment
    to end, if that moves no money.
    """

    key: str
    payment: PaymentRef
    reason: str = ""
    creation: CreatePayment | None = None


@dataclass(frozen=True, slots=True)
class CapturePayment:
    key: str
    payment: PaymentRef
    amount_minor: int


@dataclass(frozen=True, slots=True)
class CreateRefund:
    key: str
    reference: str
    payment: PaymentRef
    amount_minor: int
    currency: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundRef:
    reference: str
    payment: PaymentRef
    channel_refund_no: str = ""


@dataclass(frozen=True, slots=True)
class ListingWindow:
    """Selects what was created at `since` or later, and before `until`."""

    environment: str
    since: dt.datetime
    until: dt.datetime
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ListingEntry(Generic[T]):
    """One payment or refund of the channel's own list."""

    value: T
    created_at: dt.datetime


# --- The protocol ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """What a channel can never accept, known without a call.

    `max_seconds_to_pay`: how long a payment may wait for its customer. `amount_steps`: amounts of a currency must be
    multiples of so many minor units. `idempotency_key_lifetime_seconds`: for so long after its intent, repeating a
    creation with its key reports its outcome better than a query does; 0 where a query is exact.
    """

    max_seconds_to_pay: int | None = None
    amount_steps: Mapping[str, int] = field(default_factory=dict)
    idempotency_key_lifetime_seconds: float = 0

    def get_amount_step(self, currency: str) -> int:
        return self.amount_steps.get(currency, 1)


class ListingFailed(Exception):
    """The channel's list was not read to its end: what was read says nothing about the rest."""


class WebhookRefused(Exception):
    """Nothing proves that the channel sent the webhook: wrong signature, too old, or not parseable."""


class Channel(Protocol):
    """One provider of payments. Its class is listed in the setting CHANNELS and is built without arguments.

    Requests carry the environment (`test` or `live`). Amounts are in minor units.
    """

    name: str
    limits: ChannelLimits
    # Moves no real money: with test keys it serves in place of a channel that is not set up.
    is_sandbox: bool

    def get_unavailable_reason(self, environment: str) -> str | None:
        """Says why the channel cannot serve this environment, for example a setting that is missing."""

    def can_receive_webhooks(self) -> bool:
        """Says whether the channel can verify webhooks as it is set up."""

    def create_payment(self, request: CreatePayment) -> PaymentResult: ...
    def find_payment(self, payment: PaymentRef) -> PaymentResult: ...
    def cancel_payment(self, request: CancelPayment) -> PaymentResult: ...
    def capture_payment(self, request: CapturePayment) -> PaymentResult: ...
    def refund_payment(self, request: CreateRefund) -> RefundResult: ...
    def find_refund(self, refund: RefundRef) -> RefundResult: ...
    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        """Returns all refunds of the payment, those made in the channel's dashboard included."""

    def parse_webhook(self, *, body: bytes, headers: Mapping[str, str]) -> WebhookEvent:
        """Verifies the signature over the raw bytes. Raises `WebhookRefused`."""

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        """Raises `ListingFailed`."""

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        """Each refund has its `payment_reference`, empty for a payment that is not ours. Raises `ListingFailed`."""

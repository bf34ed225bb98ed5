"""The objects that a channel reports, and the webhooks that bring them."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from channels.base.actions import NextAction
from channels.base.cards import PaymentCard


class PaymentState(enum.StrEnum):
    """The state of a payment at the channel."""

    OPEN = "open"  # waits for the customer
    PROCESSING = "processing"  # the customer has acted, the channel has not decided
    APPROVED = "approved"  # the customer has agreed; the money moves when we complete the payment
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
    """A payment as the channel reports it. `reference` is ours; amounts are in minor units.

    `amount_minor` is None where the channel does not say it of a payment that is not paid.
    `channel_trade_no` is empty while the channel has no number of its own: a page that we signed and nobody opened.
    `captured_minor` is the total of all captures: of an authorized payment, those that were not final.
    `complete_before`: an approved payment must be completed until then.
    `card` is the one that paid, where the channel tells it; None also where this report does not.
    """

    reference: str
    channel_trade_no: str
    state: PaymentState
    amount_minor: int | None
    currency: str
    captured_minor: int = 0
    next_action: NextAction | None = None
    failure_code: str = ""
    failure_message: str = ""
    payment_method: str = ""
    complete_before: dt.datetime | None = None
    card: PaymentCard | None = None


@dataclass(frozen=True, slots=True)
class ChannelRefund:
    """A refund as the channel reports it.

    `reference` is our refund number, empty for a refund that was made in the channel's dashboard. Such a refund names
    its payment by `payment_reference` (our number) or by `payment_trade_no` alone (the channel's number). A pending
    refund with a `failure_code` waits for staff: the channel can neither complete nor end it.
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


class ChannelDisputeStage(enum.StrEnum):
    """The stage of a dispute. It only goes forward. An inquiry takes no money."""

    INQUIRY = "inquiry"
    CHARGEBACK = "chargeback"
    PRE_ARBITRATION = "pre_arbitration"
    ARBITRATION = "arbitration"


class ChannelDisputeReason(enum.StrEnum):
    """The customer's reason to dispute, the same for all channels."""

    FRAUDULENT = "fraudulent"
    UNRECOGNIZED = "unrecognized"
    DUPLICATE = "duplicate"
    PRODUCT_NOT_RECEIVED = "product_not_received"
    PRODUCT_UNACCEPTABLE = "product_unacceptable"
    CREDIT_NOT_PROCESSED = "credit_not_processed"
    SUBSCRIPTION_CANCELED = "subscription_canceled"
    INCORRECT_AMOUNT = "incorrect_amount"
    GENERAL = "general"


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

    `channel_reason` is the channel's own word for `reason`. `has_evidence` and `submission_count` are None where the
    channel does not say whether it has received evidence.
    """

    environment: str
    channel_dispute_no: str
    channel_trade_no: str
    amount_minor: int
    currency: str
    reason: ChannelDisputeReason
    channel_reason: str
    state: DisputeState
    stage: ChannelDisputeStage = ChannelDisputeStage.CHARGEBACK
    evidence_due_by: dt.datetime | None = None
    has_evidence: bool | None = None
    submission_count: int | None = None


@dataclass(frozen=True, slots=True)
class RefundedPayment:
    """A payment that was refunded; the channel's event does not report the refund itself.

    `channel_refund_no` names it where the event does: that refund is queried. Otherwise all of the payment are.
    """

    environment: str
    payment_trade_no: str
    channel_refund_no: str = ""


@dataclass(frozen=True, slots=True)
class ReportedCard:
    """The card that paid `reference`, from a channel that reports it apart from the payment."""

    reference: str
    card: PaymentCard


@dataclass(frozen=True, slots=True)
class DisconnectedAccount:
    """The owner of a connected account has ended the platform's access to it: no call for it succeeds any more."""


ChannelUpdate = (
    ChannelPayment | ChannelRefund | ChannelDispute | RefundedPayment | ReportedCard | DisconnectedAccount
)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it came in. Header names are compared without regard to case."""

    body: bytes
    headers: Mapping[str, str]

    def get_header(self, name: str) -> str:
        if (value := self.headers.get(name)) is not None:
            return value
        wanted = name.lower()
        return next((value for header, value in self.headers.items() if header.lower() == wanted), "")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer by which the channel knows that it need not send the webhook again."""

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A verified webhook: the updates that it brings, in their order; none for an event that is only acknowledged.

    `record` is what to store of it in place of the raw body, for example when the body is encrypted. Without
    `acknowledgement` the platform answers 200 with its own JSON.

    `connected_account_no` is set only by the platform's own account: the event is about the connected account that has
    this number at the channel. Nothing but the channel's signature with the platform's secret may choose an account.
    """

    event_id: str
    event_type: str
    updates: tuple[ChannelUpdate, ...] = ()
    record: bytes | None = None
    acknowledgement: Acknowledgement | None = None
    connected_account_no: str = ""

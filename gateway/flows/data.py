"""The data that each flow is started with. It is stored in `saga_instances.metadata`, and every step reads it."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

from channel_accounts.serving import get_channel_of_payment
from channels.base import Customer, PaymentRef
from channels.guard import GuardedChannel
from channels.registry import get_capabilities
from common.ids import time_of
from gateway import selectors
from gateway.models import Payment, PaymentAttempt
from sagas.outcomes import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowData:
    """Plain values only: they are stored as JSON, and people read them."""

    def as_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: str(value) if type(value) is uuid.UUID else value for name, value in values.items()}

    @classmethod
    def read(cls, data: Json) -> Self:
        fields = cls.__dataclass_fields__
        return cls(
            **{
                name: uuid.UUID(value) if fields[name].type is uuid.UUID else value
                for name, value in data.items()
            }
        )


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """A channel, and the account at it, that can take an attempt. An empty account is the platform's own one."""

    channel: str
    channel_account: str = ""

    @property
    def account_id(self) -> uuid.UUID | None:
        return uuid.UUID(self.channel_account) if self.channel_account else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPayment:
    """The fields of a payment that the merchant decides. They are the same in the request, in the saga and at the
    channel. An empty `payment_method` is the first method of each channel."""

    order_no: str
    amount_minor: int
    currency: str
    subject: str
    body: str
    callback_url: str
    return_url: str
    capture_method: str
    expires_in_seconds: int
    # As JSON of `orders.services.ItemDraft`.
    items: list[dict[str, Any]] = field(default_factory=list)
    payment_method: str = ""
    payment_method_options: dict[str, str] = field(default_factory=dict)
    customer: dict[str, str] = field(default_factory=dict)
    client_ip: str = ""
    locale: str = ""
    country: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    def list_requested_fields(self) -> dict[str, Any]:
        """The fields of this class by name, without those that a subclass adds."""
        return {name: getattr(self, name) for name in RequestedPayment.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCreateData(RequestedPayment, FlowData):
    """The requested fields, and those that the platform decides.

    `fallback_channels`, as JSON of `ChannelChoice`, may be tried after `channel`, in this order. `application_fees` are
    what the platform takes, by the id of the channel account; decided once, so that a repetition of a call sends the
    same amount. For a further attempt of a closed payment `first_attempt` is above 1, and `opened_by` is the saga's id.
    """

    payment_id: uuid.UUID
    payment_no: str
    order_id: uuid.UUID
    merchant_id: uuid.UUID
    environment: str
    channel: str
    sandbox: bool
    channel_account: str = ""
    fallback_channels: list[dict[str, str]] = field(default_factory=list)
    application_fees: dict[str, int] = field(default_factory=dict)
    first_attempt: int = 1
    opened_by: str = ""

    @property
    def choices(self) -> tuple[ChannelChoice, ...]:
        """The chosen channel, then the fallback channels."""
        chosen = ChannelChoice(self.channel, self.channel_account)
        return (chosen, *(ChannelChoice(**choice) for choice in self.fallback_channels))

    @property
    def channel_account_id(self) -> uuid.UUID | None:
        return self.choices[0].account_id

    def get_application_fee(self, choice: ChannelChoice) -> int:
        return self.application_fees.get(choice.channel_account, 0)

    @property
    def started_at(self) -> dt.datetime | None:
        return time_of(uuid.UUID(self.opened_by) if self.opened_by else self.payment_id)

    @property
    def expires_at(self) -> dt.datetime | None:
        return self.started_at + dt.timedelta(seconds=self.expires_in_seconds) if self.started_at else None

    def get_method_name(self, channel: str) -> str:
        """The payment method at this channel."""
        method = get_capabilities(channel).get_method(self.payment_method)
        return method.name if method else self.payment_method

    def build_customer(self) -> Customer:
        return Customer(**self.customer, client_ip=self.client_ip, locale=self.locale)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptChannelData(FlowData):
    """The channel that made an attempt. `channel_account` is the id of the attempt's account; empty: the platform's
    own. `sandbox`: the simulator serves the payment in the channel's place."""

    environment: str
    channel: str
    channel_account: str = ""
    sandbox: bool

    def get_channel(self) -> GuardedChannel:
        choice = ChannelChoice(self.channel, self.channel_account)
        return get_channel_of_payment(
            self.channel, self.environment, sandbox=self.sandbox, account_id=choice.account_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingPaymentData(AttemptChannelData):
    """The data with which a flow about an existing payment calls the channel. `reference` is the channel's name for the
    attempt. `payment_amount_minor` is authorized in all: the amount and its increments."""

    payment_id: uuid.UUID
    payment_no: str
    channel_trade_no: str
    payment_amount_minor: int
    currency: str
    reference: str
    # ISO 8601; empty when the channel's number is known.
    attempt_began_at: str = ""
    expires_at: str = ""  # ISO 8601
    payment_method: str = ""

    def build_payment_ref(self, timeout_seconds: float) -> PaymentRef:
        began_at = self.attempt_began_at
        return PaymentRef(
            self.reference,
            self.get_channel().account,
            timeout_seconds,
            self.channel_trade_no,
            dt.datetime.fromisoformat(began_at) if began_at else time_of(self.payment_id),
            dt.datetime.fromisoformat(self.expires_at) if self.expires_at else None,
            self.payment_method,
        )


def read_existing_payment(payment: Payment, attempt: PaymentAttempt | None = None) -> dict[str, Any]:
    """Reads the fields of `ExistingPaymentData` from the payment, or from an earlier attempt of it."""
    source = attempt or payment
    return {
        "payment_id": payment.id,
        "payment_no": payment.payment_no,
        "environment": payment.environment,
        "channel": source.channel,
        "channel_trade_no": source.channel_trade_no,
        "payment_amount_minor": payment.authorized_minor,
        "currency": payment.currency,
        "reference": source.reference,
        "sandbox": source.sandbox,
        "channel_account": str(source.channel_account_id or ""),
        "attempt_began_at": ""
        if source.channel_trade_no
        else selectors.get_attempt_start(source).isoformat(),
        "expires_at": payment.expires_at.isoformat(),
        "payment_method": payment.payment_method,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancelData(ExistingPaymentData):
    """`final_status` is cancelled, or expired when the customer did not pay in time."""

    final_status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptureData(ExistingPaymentData):
    """`captured_before_minor` is the total of the earlier captures: with it, the channel's total tells whether this
    capture has happened. The capture has the saga's id."""

    capture_id: uuid.UUID
    amount_minor: int
    is_final: bool
    captured_before_minor: int

    @property
    def captured_after_minor(self) -> int:
        return self.captured_before_minor + self.amount_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationIncrementData(ExistingPaymentData):
    """`amount_minor` is the new total. The increment has the saga's id."""

    increment_id: uuid.UUID
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCompleteData(ExistingPaymentData):
    manual_capture: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeRespondData(AttemptChannelData):
    """`kind`: evidence or acceptance. The files are those of the response."""

    dispute_id: uuid.UUID
    response_id: uuid.UUID
    kind: str
    channel_dispute_no: str
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCreateData(ExistingPaymentData):
    refund_id: uuid.UUID
    refund_no: str
    merchant_id: uuid.UUID
    amount_minor: int
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    # Refunds a late or duplicate payment: the payment need not have succeeded.
    late_payment: bool = False
    # The number of the attempt whose duplicate payment is refunded; None: the payment's own money.
    duplicate_attempt: int | None = None
    origin: str = "merchant"
    returns_application_fee: bool = False

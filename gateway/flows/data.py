"""What each flow is started with: kept in `saga_instances.metadata`, read back by every step."""

import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

from channels.base import PaymentRef
from channels.guard import GuardedChannel
from channels.registry import get_channel_of_payment
from common.ids import time_of
from gateway import selectors
from gateway.models import Payment, PaymentAttempt
from sagas.outcomes import Json


class SagaQueue(TypedDict):
    task_queue: str
    fairness_key: str


def saga_queue(environment: str, merchant_id: uuid.UUID) -> SagaQueue:
    """Where a saga waits for a worker: test apart from live, and within each the merchants in turns."""
    return {"task_queue": environment, "fairness_key": str(merchant_id)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowData:
    """Plain values only, so that a saga can be stored and read by a person."""

    def as_json(self) -> dict[str, Any]:
        return {
            name: str(value) if isinstance(value, uuid.UUID) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def read(cls, data: Json) -> Self:
        kinds = {each.name: each.type for each in dataclasses.fields(cls)}
        return cls(
            **{name: uuid.UUID(value) if kinds[name] is uuid.UUID else value for name, value in data.items()}
        )


@dataclass(frozen=True, slots=True)
class ItemData:
    name: str
    quantity: int
    unit_amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCreateData(FlowData):
    """`elsewhere`: the channels that may be tried after `channel`, in this order. `first_attempt` is above 1, and
    `opened_by` the saga's id, where a closed payment is tried again."""

    payment_id: uuid.UUID
    payment_no: str
    order_id: uuid.UUID
    merchant_id: uuid.UUID
    environment: str
    order_no: str
    amount_minor: int
    currency: str
    channel: str
    sandbox: bool
    subject: str
    body: str
    callback_url: str
    return_url: str
    capture_method: str
    expires_in_seconds: int
    items: list[dict[str, Any]] = field(default_factory=list)
    customer: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    first_attempt: int = 1
    opened_by: str = ""

    @property
    def started_at(self) -> dt.datetime | None:
        return time_of(uuid.UUID(self.opened_by) if self.opened_by else self.payment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingPaymentData(FlowData):
    """What every flow about a payment that exists must know to speak to the channel. `reference` is the channel's
    name for its attempt. `sandbox`: the simulator made it in the channel's place."""

    payment_id: uuid.UUID
    payment_no: str
    environment: str
    channel: str
    channel_trade_no: str
    payment_amount_minor: int
    currency: str
    reference: str
    sandbox: bool
    # Where the channel's number is not known: when the attempt was begun (ISO 8601).
    attempt_began_at: str = ""

    @property
    def made_by(self) -> GuardedChannel:
        return get_channel_of_payment(self.channel, self.environment, sandbox=self.sandbox)

    def at_channel(self, timeout_seconds: float) -> PaymentRef:
        began = self.attempt_began_at
        return PaymentRef(
            self.reference,
            self.environment,
            timeout_seconds,
            self.channel_trade_no,
            dt.datetime.fromisoformat(began) if began else time_of(self.payment_id),
        )


def existing_payment(payment: Payment, attempt: PaymentAttempt | None = None) -> dict[str, Any]:
    """The fields of `ExistingPaymentData`: of the payment as it is, or of an attempt that was given up."""
    at = attempt or payment
    return {
        "payment_id": payment.id,
        "payment_no": payment.payment_no,
        "environment": payment.environment,
        "channel": at.channel,
        "channel_trade_no": at.channel_trade_no,
        "payment_amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "reference": at.reference,
        "sandbox": at.sandbox,
        "attempt_began_at": "" if at.channel_trade_no else selectors.attempt_began_at(at).isoformat(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCancelData(ExistingPaymentData):
    """`final_status` is cancelled, or expired when nobody paid in time."""

    final_status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptureData(ExistingPaymentData):
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCreateData(ExistingPaymentData):
    refund_id: uuid.UUID
    refund_no: str
    merchant_id: uuid.UUID
    amount_minor: int
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    # Money that arrived for a closed payment goes back although the payment never succeeded.
    late_money: bool = False
    # The attempt whose surplus goes back; None: the payment's own money.
    surplus_of: int | None = None
    origin: str = "merchant"

"""The requests of the platform to a channel."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from channels.base.accounts import ChannelAccount

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Customer:
    """The customer as the merchant describes them; empty fields are unknown. `locale` is such as zh-CN."""

    id: str = ""
    name: str = ""
    email: str = ""
    phone: str = ""
    client_ip: str = ""
    locale: str = ""


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """`key` is the idempotency key: the same key never creates a second payment.

    `started_at` is when the attempt started, `intended_at` when the intent of the call with this key was committed.
    Both are the same for every repetition. `metadata` is the merchant's. `payment_method` is one that the channel
    declares, empty for its first one; `payment_method_options` are the merchant's, by the names that it declares.
    `checkout_url` is our payment page. `application_fee_minor` is what the platform takes of the payment; 0 but for
    accounts that are connected to the platform's. A channel with room for them keeps
    `merchant_id` and `order_no`, and its list returns them (`PaymentOrigin`).
    """

    key: str
    reference: str
    account: ChannelAccount
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
    payment_method: str = ""
    payment_method_options: Mapping[str, Any] = field(default_factory=dict)
    customer: Customer = field(default_factory=Customer)
    checkout_url: str = ""
    application_fee_minor: int = 0
    merchant_id: str = ""
    order_no: str = ""

    @property
    def environment(self) -> str:
        return self.account.environment


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """Names a payment. `channel_trade_no` is empty when the answer to its creation was lost: the payment is then found
    in the channel's lists of the time around `started_at`. `expires_at` is when the customer can pay no more;
    `payment_method` the one of its creation."""

    reference: str
    account: ChannelAccount
    timeout_seconds: float
    channel_trade_no: str = ""
    started_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    payment_method: str = ""

    @property
    def environment(self) -> str:
        return self.account.environment


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
class CompletePayment:
    """Charges, or with `manual_capture` authorizes, what the customer has approved."""

    key: str
    payment: PaymentRef
    amount_minor: int
    currency: str
    manual_capture: bool = False


@dataclass(frozen=True, slots=True)
class CapturePayment:
    """Takes an authorized amount. The last capture (`is_final`) releases the rest.

    `captured_before_minor` is the total of the earlier captures. A repetition with the same key captures nothing more:
    a channel without such keys compares its total with ours. Only one capture of a payment is in flight.
    """

    key: str
    payment: PaymentRef
    amount_minor: int
    is_final: bool = True
    captured_before_minor: int = 0


@dataclass(frozen=True, slots=True)
class IncrementAuthorization:
    """Authorizes a larger amount. `amount_minor` is the new total, so that a repetition authorizes nothing more."""

    key: str
    payment: PaymentRef
    amount_minor: int


@dataclass(frozen=True, slots=True)
class CreateRefund:
    """`payment_amount_minor` is the whole amount of the payment. `returns_application_fee`: the platform gives back its
    part of the application fee."""

    key: str
    reference: str
    payment: PaymentRef
    amount_minor: int
    currency: str
    reason: str
    payment_amount_minor: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    returns_application_fee: bool = False


@dataclass(frozen=True, slots=True)
class RefundRef:
    reference: str
    payment: PaymentRef
    channel_refund_no: str = ""


@dataclass(frozen=True, slots=True)
class ListingWindow:
    """Selects what the account created at `since` or later, and before `until`."""

    account: ChannelAccount
    since: dt.datetime
    until: dt.datetime
    timeout_seconds: float

    @property
    def environment(self) -> str:
        return self.account.environment


@dataclass(frozen=True, slots=True)
class PaymentOrigin:
    """Whose payment it is, as our creation wrote it at the channel. After a restore of our database this may be the
    only record of it."""

    merchant_id: str
    order_no: str = ""


@dataclass(frozen=True, slots=True)
class ListingEntry(Generic[T]):
    """One payment or refund of the channel's own list. `origin` is None where the channel does not keep it."""

    value: T
    created_at: dt.datetime
    origin: PaymentOrigin | None = None

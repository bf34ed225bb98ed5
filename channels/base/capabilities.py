"""The capabilities that a channel declares, without a call."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from channels.base.actions import ActionType


@dataclass(frozen=True, slots=True)
class AmountLimits:
    """The smallest and largest amount of a payment, in minor units; None: the channel does not say."""

    min_minor: int | None = None
    max_minor: int | None = None


class RequestField(enum.StrEnum):
    """A field of `POST /payments` that a payment method can require, by its name in the API."""

    CLIENT_IP = "client_ip"
    RETURN_URL = "return_url"
    CUSTOMER_EMAIL = "customer.email"


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One way to pay that a channel offers, by the name that merchants give as `payment_method`.

    `currencies` holds each currency that it takes, with its limits; empty means that the channel decides. `countries`
    are those of its customers; empty means every country. `required_fields` are the fields that the request must have,
    `required_options` the entries that `payment_method_options` must have, `optional_options` those that it may have.
    `option_values` are the only values of some options.
    """

    name: str
    action: ActionType
    currencies: Mapping[str, AmountLimits] = field(default_factory=dict)
    countries: frozenset[str] = frozenset()
    max_seconds_to_pay: int | None = None
    can_capture_manually: bool = False
    required_fields: tuple[RequestField, ...] = ()
    required_options: tuple[str, ...] = ()
    optional_options: tuple[str, ...] = ()
    option_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundRules:
    """`window_days` after the payment, `max_count` refunds of one payment, with `min_seconds_between` them at least;
    None: the channel sets no limit."""

    is_partial_allowed: bool = True
    window_days: int | None = None
    max_count: int | None = None
    min_seconds_between: int = 0


class ListingSource(enum.StrEnum):
    API = "api"  # any time window
    DAILY_STATEMENT = "daily_statement"  # whole days of the channel's time zone, on the next day
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ChannelCapabilities:
    """The operations that a channel offers, and the requests that it never accepts: checked before an order exists.

    `methods`: the first one is used for a payment that names none. `amount_steps`: amounts of a currency must be
    multiples of so many minor units. `idempotency_key_lifetime_seconds`: for so long after its intent, repeating a
    creation with its key reports its outcome better than a query does; 0 where a query is exact. `max_captures` of one
    payment, where repeated captures are allowed (None: no limit); `max_authorization_increments` of one attempt,
    declined ones included. `has_calls_in_webhooks`: parsing a webhook may call the channel, for a certificate or the
    object that the webhook is about. `statement_formats`: the settlement statements that the channel can write
    (`StatementSource`), by the names of the app `settlements`.
    """

    methods: tuple[PaymentMethod, ...]
    amount_steps: Mapping[str, int] = field(default_factory=dict)
    idempotency_key_lifetime_seconds: float = 0
    refunds: RefundRules = field(default_factory=RefundRules)
    is_partial_capture_allowed: bool = True
    is_repeated_capture_allowed: bool = False
    max_captures: int | None = None
    max_authorization_increments: int = 0
    listing: ListingSource = ListingSource.API
    has_calls_in_webhooks: bool = False
    statement_formats: tuple[str, ...] = ()

    def get_method(self, name: str) -> PaymentMethod | None:
        """The method of this name; the first one for an empty name."""
        if not name:
            return self.methods[0] if self.methods else None
        return next((method for method in self.methods if method.name == name), None)

    def get_amount_step(self, currency: str) -> int:
        return self.amount_steps.get(currency, 1)

"""GET /payment-methods: the ways to pay that a merchant can offer a customer now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from channels.base import PaymentMethod
from channels.registry import get_capabilities, list_channel_names
from common.errors import ApiError
from gateway.services.routing import routes
from gateway.services.routing.decision import Verdict
from gateway.services.routing.matching import RoutedPayment
from merchants.principal import Principal


@dataclass(frozen=True, slots=True)
class OfferedMethod:
    """A method with the channel that takes it. `sandbox`: the simulator serves in the channel's place."""

    channel: str
    sandbox: bool
    method: PaymentMethod
    currency: str
    multiple_of: int


@dataclass(frozen=True, slots=True)
class RefusedMethod:
    """A method of a channel that is set up, with the error that `POST /payments` would answer."""

    channel: str
    method: PaymentMethod
    error: ApiError


@dataclass(frozen=True, slots=True)
class PaymentMethods:
    offered: Sequence[OfferedMethod]
    refused: Sequence[RefusedMethod]


def list_payment_methods(
    *, principal: Principal, amount_minor: int, currency: str, country: str = ""
) -> PaymentMethods:
    """The methods of all channels that are set up and work. First those of the channels that the routing rules choose,
    in their order. Whether a method can take the payment is decided by the same function as for `POST /payments`."""
    payment = RoutedPayment(
        merchant_id=principal.merchant_id,
        environment=principal.environment,
        order_no="",
        amount_minor=amount_minor,
        currency=currency,
        expires_in_seconds=None,
        country=country,
    )
    offered, refused = [], []
    for channel in _order_channels(payment):
        capabilities = get_capabilities(channel)
        for method in capabilities.methods:
            _choice, facts = routes.inspect_channel(
                channel=channel, payment=replace(payment, payment_method=method.name)
            )
            if facts.unavailable_reason or facts.is_down:
                continue
            if facts.refusal is not None:
                refused.append(RefusedMethod(channel, method, facts.refusal))
                continue
            step = capabilities.get_amount_step(currency)
            offered.append(OfferedMethod(channel, facts.sandbox, method, currency, step))
    return PaymentMethods(offered, refused)


def _order_channels(payment: RoutedPayment) -> Sequence[str]:
    decision = routes.explain_route(payment)
    matching = (each for each in decision.candidates if each.verdict is not Verdict.NO_MATCH)
    return list(dict.fromkeys([*(each.choice.channel for each in matching), *list_channel_names()]))

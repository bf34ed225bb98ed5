"""GET /payment-methods: the ways to pay that a merchant can offer a customer now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from channel_accounts.serving import choose_account, get_channel_for_attempt
from channels.base import PaymentMethod
from channels.registry import (
    AvailableChannel,
    ChannelNotAvailable,
    UnknownChannel,
    get_capabilities,
    list_channel_names,
)
from gateway import limits
from gateway.limits import PaymentTerms
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


def list_payment_methods(
    *, principal: Principal, amount_minor: int, currency: str, country: str = ""
) -> Sequence[OfferedMethod]:
    """The methods of all channels that are set up and work, and can take such a payment. First those of the channels
    that the routing rules choose, in their order."""
    offered = []
    for name in _order_channels(principal, amount_minor, currency, country):
        available = _find_working_channel(name, principal)
        if available is None:
            continue
        capabilities = get_capabilities(name)
        for method in _find_fitting_methods(name, amount_minor, currency, country):
            step = capabilities.get_amount_step(currency)
            offered.append(OfferedMethod(name, available.sandbox, method, currency, step))
    return offered


def _order_channels(principal: Principal, amount_minor: int, currency: str, country: str) -> Sequence[str]:
    decision = routes.explain_route(
        RoutedPayment(
            merchant_id=principal.merchant_id,
            environment=principal.environment,
            order_no="",
            amount_minor=amount_minor,
            currency=currency,
            expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
            country=country,
        )
    )
    matching = (each for each in decision.candidates if each.verdict is not Verdict.NO_MATCH)
    return list(dict.fromkeys([*(each.choice.channel for each in matching), *list_channel_names()]))


def _find_working_channel(name: str, principal: Principal) -> AvailableChannel | None:
    """The channel with the account that takes the merchant's payments. None when it is not set up, or its circuit
    breaker is open."""
    environment = principal.environment
    try:
        account_id = choose_account(merchant_id=principal.merchant_id, environment=environment, channel=name)
        available = get_channel_for_attempt(name, environment, account_id)
    except (UnknownChannel, ChannelNotAvailable):
        return None
    return None if available.channel.is_down else available


def _find_fitting_methods(
    channel: str, amount_minor: int, currency: str, country: str
) -> Iterator[PaymentMethod]:
    for method in get_capabilities(channel).methods:
        terms = PaymentTerms(
            amount_minor=amount_minor,
            currency=currency,
            payment_method=method.name,
            payment_method_options=None,
            country=country,
        )
        if limits.find_refusal(channel=channel, terms=terms) is None:
            yield method

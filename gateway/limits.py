"""Checks what a channel declares in its capabilities, before anything is written or sent."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from channels.base import ChannelCapabilities, PaymentMethod, RequestField
from channels.registry import get_capabilities
from common.errors import ApiError, ValidationFailed
from gateway.errors import (
    AmountNotSupported,
    IncrementNotSupported,
    RefundCountReached,
    RefundWindowOver,
    RepeatedCaptureNotSupported,
)

# Options of every method, for routing rules alone: what the merchant knows about the customer's card.
CARD_BRAND, CARD_BIN = "card_brand", "card_bin"


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """The requirements of a payment for a channel. An empty `payment_method` is the channel's first one; an empty
    `country` is unknown, and so are `expires_in_seconds`, `payment_method_options` and `given_fields` when they are
    None.

    `given_fields`: the fields of the request that a payment method can require, and that it has."""

    amount_minor: int
    currency: str
    payment_method: str = ""
    payment_method_options: Mapping[str, Any] | None = field(default_factory=dict)
    expires_in_seconds: int | None = None
    given_fields: frozenset[RequestField] | None = None
    is_captured_manually: bool = False
    country: str = ""


@dataclass(frozen=True, slots=True)
class _Offer:
    """A method of a channel, which is compared with the terms of a payment."""

    channel: str
    capabilities: ChannelCapabilities
    method: PaymentMethod


def find_refusal(*, channel: str, terms: PaymentTerms) -> ApiError | None:
    """The first reason why the channel cannot take such a payment; None when it can.

    Stripe declares no smallest amount: it depends on the settlement currency of the account, which is not known here,
    and changes. Stripe's `amount_too_small` declines the payment, or another channel is tried.
    """
    capabilities = get_capabilities(channel)
    method = capabilities.get_method(terms.payment_method)
    if method is None:
        names = ", ".join(each.name for each in capabilities.methods)
        text = _("Channel %(channel)s does not offer this method. It offers: %(methods)s.")
        return _refuse("payment_method", text % {"channel": channel, "methods": names or "—"})
    offer = _Offer(channel, capabilities, method)
    reasons = (check(offer, terms) for check in _CHECKS)
    return next((reason for reason in reasons if reason is not None), None)


def _check_country(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    countries = offer.method.countries
    if not terms.country or not countries or terms.country in countries:
        return None
    text = _("Payment method %(method)s is only for customers in: %(countries)s.")
    return _refuse("country", text % {"method": offer.method.name, "countries": ", ".join(sorted(countries))})


def _check_currency(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    currencies = offer.method.currencies
    if not currencies or terms.currency in currencies:
        return None
    text = _("Payment method %(method)s takes only: %(currencies)s.")
    values = {"method": offer.method.name, "currencies": ", ".join(sorted(currencies))}
    return _refuse("currency", text % values)


def _check_amount(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    limits = offer.method.currencies.get(terms.currency)
    broken: dict[str, int] = {}
    if limits and limits.min_minor is not None and terms.amount_minor < limits.min_minor:
        broken["min_amount"] = limits.min_minor
    if limits and limits.max_minor is not None and terms.amount_minor > limits.max_minor:
        broken["max_amount"] = limits.max_minor
    step = offer.capabilities.get_amount_step(terms.currency)
    if terms.amount_minor % step:
        broken["multiple_of"] = step
    if not broken:
        return None
    amount = {"currency": terms.currency, "amount": terms.amount_minor}
    return AmountNotSupported(
        {"channel": offer.channel, "payment_method": offer.method.name, **amount, **broken}
    )


def _check_lifetime(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    longest = offer.method.max_seconds_to_pay
    if terms.expires_in_seconds is None or longest is None or terms.expires_in_seconds <= longest:
        return None
    text = _("At most %(seconds)s with channel %(channel)s.")
    return _refuse("expires_in", text % {"seconds": longest, "channel": offer.channel})


def _check_capture_method(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    if not terms.is_captured_manually or offer.method.can_capture_manually:
        return None
    text = _("Payment method %(method)s cannot be captured manually.")
    return _refuse("capture_method", text % {"method": offer.method.name})


def _check_fields(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    if terms.given_fields is None:
        return None
    required = _("Payment method %(method)s requires this.") % {"method": offer.method.name}
    missing = [field for field in offer.method.required_fields if field not in terms.given_fields]
    return ValidationFailed({field.value: [required] for field in missing}) if missing else None


def _check_options(offer: _Offer, terms: PaymentTerms) -> ApiError | None:
    if terms.payment_method_options is None:
        return None
    method, given = offer.method, terms.payment_method_options
    required = _("Payment method %(method)s requires this.") % {"method": method.name}
    wrong = {name: [required] for name in method.required_options if not given.get(name)}
    unknown = _("Payment method %(method)s does not know this.") % {"method": method.name}
    known = (*method.required_options, *method.optional_options, CARD_BRAND, CARD_BIN)
    wrong |= {name: [unknown] for name in given if name not in known}
    for name, values in method.option_values.items():
        if name in given and given[name] not in values:
            wrong[name] = [_("Give one of: %(values)s.") % {"values": ", ".join(values)}]
    details = {f"payment_method_options.{name}": texts for name, texts in wrong.items()}
    return ValidationFailed(details) if details else None


_CHECKS: tuple[Callable[[_Offer, PaymentTerms], ApiError | None], ...] = (
    _check_country,
    _check_currency,
    _check_amount,
    _check_lifetime,
    _check_capture_method,
    _check_fields,
    _check_options,
)


def require_capture_allowed(
    *,
    channel: str,
    capturable_minor: int,
    amount_minor: int,
    currency: str,
    is_final: bool,
    earlier_count: int,
) -> None:
    """`earlier_count`: the captures of the payment that did not fail.

    Raises `AmountNotSupported`, `RepeatedCaptureNotSupported` and `ValidationFailed`.
    """
    require_amount_step(channel=channel, amount_minor=amount_minor, currency=currency)
    capabilities = get_capabilities(channel)
    if amount_minor < capturable_minor and not capabilities.is_partial_capture_allowed:
        text = _("Channel %(channel)s captures only the whole amount.")
        raise _refuse("amount", text % {"channel": channel})
    if not is_final and not capabilities.is_repeated_capture_allowed:
        raise RepeatedCaptureNotSupported({"channel": channel})
    if capabilities.max_captures is not None and earlier_count >= capabilities.max_captures:
        raise RepeatedCaptureNotSupported({"channel": channel, "max_captures": capabilities.max_captures})


def require_increment_allowed(
    *, channel: str, payment_method: str, amount_minor: int, currency: str, earlier_count: int
) -> None:
    """`amount_minor` is the new total, `earlier_count` the increments of the attempt, failed ones too.

    Raises `AmountNotSupported` and `IncrementNotSupported`.
    """
    capabilities = get_capabilities(channel)
    if not capabilities.max_authorization_increments:
        raise IncrementNotSupported({"channel": channel})
    if earlier_count >= capabilities.max_authorization_increments:
        details = {"channel": channel, "max_increments": capabilities.max_authorization_increments}
        raise IncrementNotSupported(details)
    method = capabilities.get_method(payment_method)
    if method is None:
        require_amount_step(channel=channel, amount_minor=amount_minor, currency=currency)
        return
    terms = PaymentTerms(amount_minor=amount_minor, currency=currency, payment_method=payment_method)
    if (refusal := _check_amount(_Offer(channel, capabilities, method), terms)) is not None:
        raise refusal


def require_refund_allowed(
    *,
    channel: str,
    currency: str,
    captured_minor: int,
    amount_minor: int,
    paid_at: dt.datetime | None,
    earlier_count: int,
) -> None:
    """`earlier_count`: the refunds of the payment that did not fail.

    Raises `AmountNotSupported`, `ValidationFailed`, `RefundWindowOver` and `RefundCountReached`.
    """
    require_amount_step(channel=channel, amount_minor=amount_minor, currency=currency)
    rules = get_capabilities(channel).refunds
    if not rules.is_partial_allowed and amount_minor != captured_minor:
        text = _("Channel %(channel)s refunds only the whole amount.")
        raise _refuse("amount", text % {"channel": channel})
    if rules.window_days is not None and paid_at is not None:
        until = paid_at + dt.timedelta(days=rules.window_days)
        if timezone.now() >= until:
            raise RefundWindowOver({"channel": channel, "refundable_until": until.isoformat()})
    if rules.max_count is not None and earlier_count >= rules.max_count:
        raise RefundCountReached({"channel": channel, "max_refunds": rules.max_count})


def require_amount_step(*, channel: str, amount_minor: int, currency: str) -> None:
    """Raises `AmountNotSupported`."""
    step = get_capabilities(channel).get_amount_step(currency)
    if amount_minor % step:
        raise AmountNotSupported(
            {"channel": channel, "currency": currency, "amount": amount_minor, "multiple_of": step}
        )


def _refuse(field_name: str, text: str) -> ValidationFailed:
    return ValidationFailed({field_name: [text]})

"""The payment that is routed, and the conditions of a rule that it fails."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from channels.base import RequestField
from gateway.limits import PaymentTerms
from gateway.models import RoutingRule


@dataclass(frozen=True, slots=True)
class RoutedPayment:
    """A payment as routing knows it before it exists; empty texts are unknown."""

    merchant_id: uuid.UUID
    environment: str
    order_no: str
    amount_minor: int
    currency: str
    expires_in_seconds: int | None
    payment_method: str = ""
    country: str = ""
    card_brand: str = ""
    card_bin: str = ""
    # None: unknown, and not checked.
    payment_method_options: Mapping[str, str] | None = None
    given_fields: frozenset[RequestField] | None = None
    is_captured_manually: bool = False

    @property
    def terms(self) -> PaymentTerms:
        """The requirements of the payment for a channel."""
        return PaymentTerms(
            amount_minor=self.amount_minor,
            currency=self.currency,
            payment_method=self.payment_method,
            payment_method_options=self.payment_method_options,
            expires_in_seconds=self.expires_in_seconds,
            given_fields=self.given_fields,
            is_captured_manually=self.is_captured_manually,
            country=self.country,
        )

    @property
    def order_key(self) -> str:
        """Names the order in all draws."""
        return f"{self.merchant_id}:{self.environment}:{self.order_no}"


def find_failed_condition(rule: RoutingRule, payment: RoutedPayment) -> str:
    """Returns the field of the first condition that the payment fails; empty when the rule matches.

    A condition about something that is unknown fails.
    """
    conditions = {
        "environment": rule.environment == payment.environment,
        "merchant": rule.merchant_id in (None, payment.merchant_id),
        "payment_method": rule.payment_method in ("", payment.payment_method),
        "currency": rule.currency in ("", payment.currency),
        "min_amount_minor": rule.min_amount_minor is None or rule.min_amount_minor <= payment.amount_minor,
        "max_amount_minor": rule.max_amount_minor is None or rule.max_amount_minor >= payment.amount_minor,
        "country": rule.country in ("", payment.country),
        "card_brand": rule.card_brand in ("", payment.card_brand.lower()),
        "card_bin": payment.card_bin.startswith(rule.card_bin),
    }
    return next((field for field, is_met in conditions.items() if not is_met), "")

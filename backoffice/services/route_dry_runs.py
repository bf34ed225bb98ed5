"""Dry runs of routing: which channel account would take a payment, and why. Nothing is written or called."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from common.errors import FieldsRefused
from common.money import EXPONENTS
from gateway.services.routing.decision import Decision
from gateway.services.routing.matching import RoutedPayment
from gateway.services.routing.routes import explain_route
from merchants.models import Environment, Merchant


@dataclass(frozen=True, slots=True)
class ImaginedPayment:
    """The payment that is asked about. The weights' draw depends on `order_no`."""

    merchant_email: str
    environment: str
    amount_minor: int
    currency: str
    payment_method: str = ""
    country: str = ""
    card_brand: str = ""
    card_bin: str = ""
    order_no: str = ""


def explain(imagined: ImaginedPayment) -> Decision:
    """Raises `FieldsRefused`."""
    merchant = Merchant.objects.filter(email=imagined.merchant_email).first()
    wrong = {}
    if merchant is None:
        wrong["merchant_email"] = _("There is no merchant with the e-mail %s.") % imagined.merchant_email
    if imagined.environment not in Environment.values:
        wrong["environment"] = _("Choose test or live.")
    if imagined.currency.upper() not in EXPONENTS:
        wrong["currency"] = _("The currency %s is not known.") % imagined.currency
    if imagined.amount_minor < 1:
        wrong["amount_minor"] = _("Give an amount above zero.")
    if wrong or merchant is None:
        raise FieldsRefused(wrong)
    return explain_route(
        RoutedPayment(
            merchant_id=merchant.id,
            environment=imagined.environment,
            order_no=imagined.order_no,
            amount_minor=imagined.amount_minor,
            currency=imagined.currency.upper(),
            expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
            payment_method=imagined.payment_method,
            country=imagined.country.upper(),
            card_brand=imagined.card_brand.lower(),
            card_bin=imagined.card_bin,
        )
    )

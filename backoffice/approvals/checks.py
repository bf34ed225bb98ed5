"""System check of SECOND_PERSON_ABOVE: refuses to start with unknown currencies or invalid amounts."""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from backoffice.approvals.limits import ANY_CURRENCY
from common.money import EXPONENTS

HINT = "Set SECOND_PERSON_ABOVE=*=10000,JPY=1000000: amounts in major units, * for every other currency."


def check_second_person_limits(**_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = [Error(text, hint=HINT, id="approvals.E001") for text in _find_errors()]
    if ANY_CURRENCY not in settings.SECOND_PERSON_ABOVE:
        text = "SECOND_PERSON_ABOVE has no *: one person decides about any amount of a currency that it does not name."
        found.append(Warning(text, hint=HINT, id="approvals.W001"))
    return found


def _find_errors() -> Iterator[str]:
    for currency, text in settings.SECOND_PERSON_ABOVE.items():
        if currency != ANY_CURRENCY and currency not in EXPONENTS:
            yield f"SECOND_PERSON_ABOVE names {currency!r}, which is not a currency of this platform."
            continue
        limit = _parse_decimal(text)
        if limit is None or not limit.is_finite() or limit < 0:
            yield f"SECOND_PERSON_ABOVE: the limit {text!r} of {currency} is not an amount."
        elif limit != round(limit, decimals := EXPONENTS.get(currency, 2)):
            yield f"SECOND_PERSON_ABOVE: the limit {text!r} of {currency} has more than {decimals} decimals."


def _parse_decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None

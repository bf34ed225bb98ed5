"""From which amount on a second person must agree."""

from decimal import Decimal
from typing import Final

from django.conf import settings

from common.money import EXPONENTS
from sagas.availability import Operation
from sagas.models import SagaInstance

ANY_CURRENCY: Final = "*"
# What cannot be taken back by a later step of the saga.
GRAVE: Final = frozenset({Operation.SKIP_STEP, Operation.COMPENSATE, Operation.MARK_RESOLVED})


def amount_of(saga: SagaInstance) -> tuple[int, str]:
    """The most that hangs on it: of a refund the whole payment, because that is what a mistake may cost."""
    data = saga.metadata
    amounts = [data.get("amount_minor"), data.get("payment_amount_minor")]
    known = [amount for amount in amounts if isinstance(amount, int)]
    return max(known, default=0), str(data.get("currency", ""))


def needs_second_person(*, operation: Operation, amount_minor: int, currency: str) -> bool:
    return operation in GRAVE and is_much(amount_minor=amount_minor, currency=currency)


def is_much(*, amount_minor: int, currency: str) -> bool:
    if currency not in EXPONENTS:
        return False
    limits = settings.SECOND_PERSON_ABOVE
    limit = limits.get(currency, limits.get(ANY_CURRENCY))
    return limit is not None and Decimal(amount_minor).scaleb(-EXPONENTS[currency]) > Decimal(limit)

"""Reads statements of a merchant."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from fees.models import MerchantStatement
from merchants.principal import Principal


def get_statements(principal: Principal) -> QuerySet[MerchantStatement]:
    return MerchantStatement.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    )


def get_statement(principal: Principal, statement_id: uuid.UUID) -> MerchantStatement:
    """Raises `NotFound`, also for another merchant's statement."""
    statement = get_statements(principal).select_related("merchant").filter(id=statement_id).first()
    if statement is None:
        raise NotFound({"id": str(statement_id)})
    return statement

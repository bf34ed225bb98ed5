"""Statements as the API shows them."""

from typing import Any

from common.clock import rfc3339
from fees.models import MerchantStatement


def statement_body(statement: MerchantStatement) -> dict[str, Any]:
    address = f"/api/v1/statements/{statement.id}"
    return {
        "id": str(statement.id),
        "period": statement.period,
        "first_day": statement.first_day.isoformat(),
        "last_day": statement.last_day.isoformat(),
        "currency": statement.currency,
        "opening_balance": statement.opening_minor,
        "payments": statement.payments_minor,
        "refunds": statement.refunds_minor,
        "disputes": statement.disputes_minor,
        "fees": statement.fees_minor,
        "other": statement.other_minor,
        "closing_balance": statement.closing_minor,
        "transaction_count": statement.transaction_count,
        "csv_sha256": statement.csv_digest,
        "files": {"csv": f"{address}/csv", "pdf": f"{address}/pdf"},
        "environment": statement.environment,
        "created_at": rfc3339(statement.created_at),
    }

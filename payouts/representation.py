"""Payouts as the API and events show them: amounts in minor units, times in UTC."""

from typing import Any

from common.clock import rfc3339
from payouts.models import Payout
from payouts.payable import PayableBalance


def payout_body(payout: Payout) -> dict[str, Any]:
    return {
        "payout_no": payout.payout_no,
        "amount": payout.amount_minor,
        "currency": payout.currency,
        "status": payout.status,
        "bank_account": payout.bank_account.hint,
        "arrival_date": payout.arrival_date.isoformat() if payout.arrival_date else None,
        "bank_reference": payout.bank_reference or None,
        "failure_code": payout.failure_code or None,
        "failure_message": payout.failure_message or None,
        "return_fee": payout.return_fee_minor,
        "environment": payout.environment,
        "created_at": rfc3339(payout.created_at),
        "sent_at": rfc3339(payout.sent_at),
        "settled_at": rfc3339(payout.settled_at),
    }


def payable_body(balance: PayableBalance) -> dict[str, Any]:
    return {
        "currency": balance.currency,
        "payable": balance.payable_minor,
        "on_hold": balance.on_hold_minor,
        "reserve": balance.reserve_minor,
        "in_progress": balance.open_minor,
        "total": balance.total_minor,
    }

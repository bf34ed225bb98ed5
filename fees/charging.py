"""The platform fee of a capture and what a refund gives back of it. The gateway calls this in the transaction of the
capture or refund, and posts the result to the ledger with the basis: all inputs of the formula.

The terms come with the statement that records the capture (`FEE_SOURCE`), so a merchant without a plan costs no
statement. The first capture of a payment decides the rate and the volume of all its captures.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from django.db import connection

from fees.formula import Rate, RefundRule, Terms, compute_fee, compute_returned_fee
from ledger.chart import LedgerAccountKind
from ledger.selectors import sum_platform_fees


class FeeBasis(TypedDict):
    """The inputs of a fee, as `ledger_transfers.fee_basis` has them. `rate` is the rate of number `rate_number` of the
    plan's version, or None when none matched. `captured_minor` and `fee_minor` are totals of the payment."""

    plan_version: str
    rate_number: int | None
    rate: dict[str, Any] | None
    refund_rule: str
    volume_before_minor: int
    captured_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class CaptureFee:
    """The fee of one capture. Without a plan there is no basis."""

    fee_minor: int = 0
    basis: FeeBasis | None = None


NO_FEE: Final = CaptureFee()

# SQL: the basis of the payment's first capture, or the terms of the merchant's plan when nothing was captured before;
# NULL without a plan, and at an account of the merchant. An account without a merchant is the platform's, as the one of
# the settings, which has no row. {payment} is the payment's row.
FEE_SOURCE: Final = """
CASE WHEN (
    SELECT merchant_id FROM channel_accounts WHERE id = {payment}.channel_account_id
) IS NOT NULL THEN NULL WHEN %(captured_before_minor)s::bigint > 0 THEN (
    SELECT fee_basis FROM ledger_transfers
    WHERE subject_id = {payment}.id AND event = 'payment.captured' ORDER BY sequence LIMIT 1
) ELSE (
    SELECT jsonb_build_object('plan_version', version.id, 'terms', version.terms)
    FROM (
        SELECT plan_id FROM fee_plan_assignments
        WHERE merchant_id = {payment}.merchant_id AND valid_from <= now() ORDER BY valid_from DESC LIMIT 1
    ) AS assigned
    CROSS JOIN LATERAL (
        SELECT id, terms FROM fee_plan_versions
        WHERE plan_id = assigned.plan_id AND valid_from <= now() ORDER BY valid_from DESC LIMIT 1
    ) AS version
) END"""
# SQL: the basis of the payment's first capture. {payment} is the payment's row.
FEE_BASIS: Final = """(
    SELECT fee_basis FROM ledger_transfers
    WHERE subject_id = {payment}.id AND event = 'payment.captured' ORDER BY sequence LIMIT 1
)"""

# The credits of merchant_payable since the beginning of the month, at the platform's accounts.
_VOLUME = """
WITH accounts AS (
    SELECT account.id
    FROM ledger_accounts AS account
    LEFT JOIN channel_accounts AS holding ON holding.id = account.channel_account_id
    WHERE account.merchant_id = %(merchant_id)s AND account.environment = %(environment)s
      AND account.currency = %(currency)s AND account.kind = %(kind)s AND holding.merchant_id IS NULL
), month AS (SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date AS first_day)
SELECT coalesce((
        SELECT sum(balance.posted_credit_minor) FROM ledger_daily_balances AS balance, month
        WHERE balance.account_id IN (SELECT id FROM accounts) AND balance.day >= month.first_day
    ), 0) + coalesce((
        SELECT sum(entry.amount_minor)
        FROM month, ledger_rollup_queue AS queued
        JOIN ledger_transfers AS transfer ON transfer.id = queued.transfer_id
        JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
        WHERE transfer.merchant_id = %(merchant_id)s AND transfer.day >= month.first_day
          AND entry.account_id IN (SELECT id FROM accounts)
          AND entry.phase = 'posted' AND entry.direction = 'credit'
    ), 0)
"""


@dataclass(frozen=True, slots=True)
class CapturedPayment:
    """A payment, as far as its fee depends on it. `captured_minor` is its total with this capture."""

    id: uuid.UUID
    merchant_id: uuid.UUID
    environment: str
    currency: str
    channel: str
    payment_method: str
    captured_before_minor: int
    captured_minor: int


def compute_capture_fee(payment: CapturedPayment, source: Mapping[str, Any] | None) -> CaptureFee:
    """`source` is what `FEE_SOURCE` selected."""
    if source is None:
        return NO_FEE
    basis = _begin_basis(payment, source) if "terms" in source else source
    if basis["rate"] is None:
        return CaptureFee(0, _with_totals(basis, captured_minor=payment.captured_minor, fee_minor=0))
    rate, volume_minor = Rate.from_json(basis["rate"]), basis["volume_before_minor"]
    before_minor, total_minor = (
        compute_fee(rate, amount_minor=amount_minor, volume_before_minor=volume_minor)
        for amount_minor in (payment.captured_before_minor, payment.captured_minor)
    )
    return CaptureFee(
        total_minor - before_minor,
        _with_totals(basis, captured_minor=payment.captured_minor, fee_minor=total_minor),
    )


def compute_refund_fee(
    *,
    payment_id: uuid.UUID,
    basis: Mapping[str, Any] | None,
    captured_minor: int,
    refunded_minor: int,
) -> int:
    """Returns the fee that a refund gives back. `basis` is what `FEE_BASIS` selected; the totals are the payment's,
    with this refund. The caller holds the payment's lock."""
    if basis is None or basis["rate"] is None or basis["refund_rule"] == RefundRule.KEEP:
        return 0
    fees = sum_platform_fees(payment_id)
    return compute_returned_fee(
        Rate.from_json(basis["rate"]),
        RefundRule(basis["refund_rule"]),
        fee_minor=fees.charged_minor,
        returned_before_minor=fees.returned_minor,
        captured_minor=captured_minor,
        refunded_minor=refunded_minor,
    )


def read_month_volume(*, merchant_id: uuid.UUID, environment: str, currency: str) -> int:
    """Returns what the merchant's payments have captured in this month (UTC) at the platform's accounts."""
    with connection.cursor() as cursor:
        cursor.execute(
            _VOLUME,
            {
                "merchant_id": merchant_id,
                "environment": environment,
                "currency": currency,
                "kind": LedgerAccountKind.MERCHANT_PAYABLE.value,
            },
        )
        (volume_minor,) = cursor.fetchone()
    return int(volume_minor)


def _begin_basis(payment: CapturedPayment, source: Mapping[str, Any]) -> dict[str, Any]:
    terms = Terms.from_json(source["terms"])
    number = terms.find_rate(
        currency=payment.currency, channel=payment.channel, payment_method=payment.payment_method
    )
    rate = None if number is None else terms.rates[number]
    volume_minor = 0
    if rate is not None and rate.has_tiers:
        volume_minor = read_month_volume(
            merchant_id=payment.merchant_id, environment=payment.environment, currency=payment.currency
        )
    return {
        "plan_version": source["plan_version"],
        "rate_number": number,
        "rate": None if rate is None else rate.as_json(),
        "refund_rule": terms.refund_rule.value,
        "volume_before_minor": volume_minor,
    }


def _with_totals(basis: Mapping[str, Any], *, captured_minor: int, fee_minor: int) -> FeeBasis:
    return FeeBasis(
        plan_version=basis["plan_version"],
        rate_number=basis["rate_number"],
        rate=basis["rate"],
        refund_rule=basis["refund_rule"],
        volume_before_minor=basis["volume_before_minor"],
        captured_minor=captured_minor,
        fee_minor=fee_minor,
    )

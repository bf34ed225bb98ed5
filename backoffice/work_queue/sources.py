"""The statements that find the open items of the work queue, one for each source: reviews, sagas, approvals, disputes,
disabled endpoints, payout runs, payouts and bank accounts. Each reads open objects by a partial index, where its table
grows with the payments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backoffice.work_queue.models import ItemKind

# Codes of our own, beside those of reviews, approvals and disputes.
OVERDUE, STUCK, IN_REVIEW, CLAIMED = "overdue", "stuck", "in_review", "claimed"


@dataclass(frozen=True, slots=True)
class Source:
    """`has_due_time`: some of its items must be decided until a certain time, so the oldest is not the most urgent."""

    kind: ItemKind
    sql: str
    has_due_time: bool = False


# kind, object_id, object_type, number, page_id, amount_minor, currency, merchant_id, environment, code, reason, since,
# due_at. The audit log knows `number` as a number of `object_type`.
_PAYMENT_REVIEWS = """
SELECT 'payment' AS kind, review.id AS object_id, 'payment' AS object_type, payment.payment_no AS number,
       payment.id AS page_id, payment.amount_minor, payment.currency, payment.merchant_id, payment.environment,
       review.code, review.text AS reason, review.opened_at AS since, NULL::timestamptz AS due_at
FROM payment_reviews AS review JOIN payments AS payment ON payment.id = review.payment_id
WHERE review.resolved_at IS NULL AND NOT review.code = ANY(%(refund_reviews)s) AND review.code <> 'dispute'
"""
_OVERDUE_PAYMENTS = """
SELECT 'payment' AS kind, id AS object_id, 'payment' AS object_type, payment_no AS number, id AS page_id, amount_minor,
       currency, merchant_id, environment, 'overdue' AS code, '' AS reason, expires_at AS since,
       NULL::timestamptz AS due_at
FROM payments
WHERE status IN ('pending', 'processing') AND expires_at < clock_timestamp() - interval '15 minutes'
"""
_REFUND_REVIEWS = """
SELECT 'refund' AS kind, review.id AS object_id,
       CASE WHEN refund.id IS NULL THEN 'payment' ELSE 'refund' END AS object_type,
       coalesce(refund.refund_no, payment.payment_no) AS number,
       payment.id AS page_id, coalesce(refund.amount_minor, payment.amount_minor) AS amount_minor, payment.currency,
       payment.merchant_id, payment.environment, review.code, review.text AS reason, review.opened_at AS since,
       NULL::timestamptz AS due_at
FROM payment_reviews AS review
JOIN payments AS payment ON payment.id = review.payment_id
LEFT JOIN refunds AS refund ON refund.refund_no = review.subject AND refund.payment_id = payment.id
WHERE review.resolved_at IS NULL AND review.code = ANY(%(refund_reviews)s)
"""
# The cancellation of an earlier attempt is named `payment number/attempt number`.
_SAGA = """
SELECT 'saga' AS kind, saga.id AS object_id, 'saga' AS object_type, saga.business_id AS number, saga.id AS page_id,
       coalesce(refund.amount_minor, payment.amount_minor) AS amount_minor,
       coalesce(refund.currency, payment.currency) AS currency,
       coalesce(refund.merchant_id, payment.merchant_id) AS merchant_id,
       coalesce(refund.environment, payment.environment) AS environment,
       {code} AS code, saga.attention_reason AS reason, {since} AS since, NULL::timestamptz AS due_at
FROM saga_instances AS saga
LEFT JOIN payments AS payment ON payment.payment_no = split_part(saga.business_id, '/', 1)
LEFT JOIN refunds AS refund ON refund.refund_no = saga.business_id
WHERE {condition}
"""
_SAGAS_IN_REVIEW = _SAGA.format(code="'in_review'", since="saga.updated_at", condition="saga.needs_attention")
_STUCK_SAGAS = _SAGA.format(
    code="'stuck'",
    since="saga.due_at",
    condition="saga.due_at < clock_timestamp() - make_interval(secs => %(stuck_after_seconds)s)",
)
_APPROVALS = """
SELECT 'approval' AS kind, approval.id AS object_id, 'approval' AS object_type, approval.business_id AS number,
       approval.id AS page_id,
       nullif(approval.amount_minor, 0) AS amount_minor, approval.currency,
       coalesce(refund.merchant_id, payment.merchant_id) AS merchant_id,
       coalesce(refund.environment, payment.environment) AS environment,
       approval.operation AS code, approval.reason, approval.requested_at AS since,
       approval.requested_at + %(approval_valid_for)s AS due_at
FROM approvals AS approval
LEFT JOIN payments AS payment ON payment.payment_no = split_part(approval.business_id, '/', 1)
LEFT JOIN refunds AS refund ON refund.refund_no = approval.business_id
WHERE approval.state = 'pending' AND approval.requested_at > clock_timestamp() - %(approval_valid_for)s
"""
_DISPUTE = """
SELECT 'dispute' AS kind, dispute.id AS object_id, 'dispute' AS object_type, dispute.dispute_no AS number,
       dispute.id AS page_id, dispute.amount_minor, dispute.currency, dispute.merchant_id, dispute.environment,
       dispute.status AS code, dispute.reason, dispute.created_at AS since, {due_at} AS due_at
FROM {disputes}
WHERE {condition}
"""
# Two sources, so that the one whose items are not urgent is read in the order of an index, only as far as it is shown.
_IS_DUE_SOON = "coalesce(dispute.evidence_due_by < clock_timestamp() + interval '2 days', FALSE)"
_DISPUTES_DUE_SOON, _DISPUTES_DUE_LATER = (
    _DISPUTE.format(
        due_at="dispute.evidence_due_by",
        disputes="disputes AS dispute",
        condition=f"dispute.status = 'needs_response' AND {is_due_soon}",
    )
    for is_due_soon in (_IS_DUE_SOON, f"NOT {_IS_DUE_SOON}")
)
_DISPUTES_IN_REVIEW = _DISPUTE.format(
    due_at="NULL::timestamptz",
    disputes="payment_reviews AS review JOIN disputes AS dispute ON dispute.dispute_no = review.subject",
    condition="review.code = 'dispute' AND review.resolved_at IS NULL AND dispute.status <> 'needs_response'",
)
_ENDPOINTS = """
SELECT 'endpoint' AS kind, id AS object_id, 'webhook_endpoint' AS object_type,
       coalesce(nullif(url, ''), kind) AS number, id AS page_id,
       NULL::bigint AS amount_minor, NULL::text AS currency, merchant_id, environment, disabled_reason AS code,
       '' AS reason, disabled_at AS since, NULL::timestamptz AS due_at
FROM webhook_endpoints
WHERE status = 'disabled' AND disabled_reason IN ('gone', 'failing')
"""
_SETTLEMENT_CASES = """
SELECT 'settlement_case' AS kind, id AS object_id, 'settlement_case' AS object_type,
       coalesce(nullif(reference, ''), id::text) AS number, id AS page_id,
       reported_minor - expected_minor AS amount_minor, currency, NULL::uuid AS merchant_id, environment,
       settlement_cases.kind AS code, reason, opened_at AS since, NULL::timestamptz AS due_at
FROM settlement_cases
WHERE state IN ('open', 'asked')
"""
_PAYOUT_RUNS = """
SELECT 'payout_run' AS kind, run.id AS object_id, 'payout_run' AS object_type, run.run_no AS number,
       run.id AS page_id,
       (SELECT sum(amount_minor)::bigint FROM payouts WHERE run_id = run.id) AS amount_minor, run.currency,
       NULL::uuid AS merchant_id, run.environment, 'awaiting_approval' AS code, '' AS reason, run.created_at AS since,
       run.created_at + %(payout_approval)s AS due_at
FROM payout_runs AS run
WHERE run.status = 'awaiting_approval'
"""
_OVERDUE_PAYOUTS = """
SELECT 'payout' AS kind, id AS object_id, 'payout' AS object_type, payout_no AS number, id AS page_id, amount_minor,
       currency, merchant_id, environment, 'overdue' AS code, '' AS reason, sent_at AS since,
       NULL::timestamptz AS due_at
FROM payouts
WHERE status = 'in_transit' AND sent_at < clock_timestamp() - %(payout_overdue)s
  AND NOT (claimed_by <> '' AND confirmed_by = '')
"""
# One person says that the bank did not pay, or that the money came back; a second one compares and records the same.
_CLAIMED_PAYOUTS = """
SELECT 'payout' AS kind, id AS object_id, 'payout' AS object_type, payout_no AS number, id AS page_id, amount_minor,
       currency, merchant_id, environment, 'claimed' AS code,
       concat_ws(' ', claimed_outcome->>'status', claimed_outcome->>'code', claimed_by) AS reason, updated_at AS since,
       NULL::timestamptz AS due_at
FROM payouts
WHERE claimed_by <> '' AND confirmed_by = '' AND status IN ('in_transit', 'paid')
"""
_BANK_ACCOUNTS = """
SELECT 'bank_account' AS kind, id AS object_id, 'bank_account' AS object_type, hint AS number, id AS page_id,
       NULL::bigint AS amount_minor, currency, merchant_id, environment, 'awaiting_approval' AS code, '' AS reason,
       requested_at AS since, NULL::timestamptz AS due_at
FROM payout_bank_accounts
WHERE status = 'awaiting_approval'
"""
SOURCES: Final[Sequence[Source]] = (
    Source(ItemKind.PAYMENT, _PAYMENT_REVIEWS),
    Source(ItemKind.PAYMENT, _OVERDUE_PAYMENTS),
    Source(ItemKind.REFUND, _REFUND_REVIEWS),
    Source(ItemKind.SAGA, _SAGAS_IN_REVIEW),
    Source(ItemKind.SAGA, _STUCK_SAGAS),
    Source(ItemKind.APPROVAL, _APPROVALS, has_due_time=True),
    Source(ItemKind.DISPUTE, _DISPUTES_DUE_SOON, has_due_time=True),
    Source(ItemKind.DISPUTE, _DISPUTES_DUE_LATER),
    Source(ItemKind.DISPUTE, _DISPUTES_IN_REVIEW),
    Source(ItemKind.ENDPOINT, _ENDPOINTS),
    Source(ItemKind.SETTLEMENT_CASE, _SETTLEMENT_CASES),
    Source(ItemKind.PAYOUT_RUN, _PAYOUT_RUNS, has_due_time=True),
    Source(ItemKind.PAYOUT, _OVERDUE_PAYOUTS),
    Source(ItemKind.PAYOUT, _CLAIMED_PAYOUTS),
    Source(ItemKind.BANK_ACCOUNT, _BANK_ACCOUNTS),
)

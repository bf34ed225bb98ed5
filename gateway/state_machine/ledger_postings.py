"""Posts the money of a transition to the ledger, in the transition's transaction. The caller holds the payment's
lock.

Each function is named after what happened to a row of the gateway. It reads account, amounts and fees from the row, and
calls the function of `ledger/postings.py` that posts the transfer.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Model

from common.db import insert_together
from fees.charging import NO_FEE, CapturedPayment, CaptureFee, compute_capture_fee, compute_refund_fee
from gateway.models import (
    Dispute,
    Payment,
    PaymentAttempt,
    Refund,
    SuspenseItem,
    reduce_application_fee,
)
from ledger import postings, selectors
from ledger.models import TransferEvent
from ledger.posting import PostingSubject
from ledger.postings import HoldingAccount
from ledger.selectors import get_fee_basis


def post_captured_money(
    *,
    payment: Payment,
    captured_before_minor: int,
    event: TransferEvent = TransferEvent.PAYMENT_CAPTURED,
    fee_source: Mapping[str, Any] | None = None,
    rows: Sequence[Model] = (),
) -> None:
    """Posts what was captured since `captured_before_minor`, with the platform's fee by `fee_source` (FEE_SOURCE). The
    end of an authorization may capture nothing more. `rows` are inserted in any case, with the same statement."""
    amount_minor = payment.captured_minor - captured_before_minor
    if amount_minor == 0:
        if rows:
            insert_together(*rows)
        return
    fee = _compute_platform_fee(payment, captured_before_minor, fee_source)
    postings.post_payment(
        event=event,
        subject=_build_payment_subject(payment),
        holding_account=HoldingAccount(payment.channel, payment.channel_account_id),
        amount_minor=amount_minor,
        captured_minor=payment.captured_minor,
        application_fee_minor=_compute_captured_fee(payment, amount_minor),
        platform_fee_minor=fee.fee_minor,
        fee_basis=fee.basis,
        rows=rows,
    )


def post_opening_capture(*, payment: Payment, amount_minor: int, event: TransferEvent) -> None:
    """Posts captured money that is not in the ledger. Its sequence is negative, so that it never is that of a capture
    which was posted."""
    postings.post_payment(
        event=event,
        subject=_build_payment_subject(payment),
        holding_account=HoldingAccount(payment.channel, payment.channel_account_id),
        amount_minor=amount_minor,
        captured_minor=-payment.captured_minor,
        application_fee_minor=_compute_captured_fee(payment, amount_minor),
        is_opening=True,
    )


def post_duplicate_payment(*, payment: Payment, attempt: PaymentAttempt, is_opening: bool = False) -> None:
    """Posts all that this earlier attempt captured."""
    postings.post_payment(
        event=TransferEvent.PAYMENT_DUPLICATE,
        subject=_build_subject(payment, attempt.id, attempt.reference),
        holding_account=HoldingAccount(attempt.channel, attempt.channel_account_id),
        amount_minor=attempt.duplicate_minor,
        captured_minor=attempt.duplicate_minor,
        application_fee_minor=reduce_application_fee(
            attempt.application_fee_minor, attempt.duplicate_minor, payment.amount_minor
        ),
        is_opening=is_opening,
    )


def post_requested_refund(refund: Refund, *, is_opening: bool = False) -> None:
    """Reserves the amount of a new refund."""
    postings.post_refund_reservation(
        subject=_build_refund_subject(refund),
        holding_account=_get_refund_account(refund),
        amount_minor=refund.amount_minor,
        is_opening=is_opening,
    )


def post_succeeded_refund(
    refund: Refund, *, fee_basis: Mapping[str, Any] | None, is_opening: bool = False
) -> None:
    """Posts a refund that succeeded, and gives back what belongs to it of the fee by `fee_basis` (FEE_BASIS). The
    caller has added it to the refunded total of `refund.payment`."""
    postings.post_refund(
        subject=_build_refund_subject(refund),
        holding_account=_get_refund_account(refund),
        amount_minor=refund.amount_minor,
        application_fee_minor=_compute_returned_fee(refund, refund.amount_minor),
        platform_fee_minor=_compute_returned_platform_fee(refund, fee_basis),
        is_opening=is_opening,
    )


def post_late_refund_success(refund: Refund, *, amount_minor: int, is_opening: bool = False) -> None:
    """Posts `amount_minor` of a failed refund that succeeded after all. The caller has added it to the refunded
    total in the database."""
    refund.payment.refresh_from_db(fields=["refunded_minor"])
    postings.post_refund_after_all(
        subject=_build_refund_subject(refund),
        holding_account=_get_refund_account(refund),
        amount_minor=amount_minor,
        application_fee_minor=_compute_returned_fee(refund, amount_minor),
        platform_fee_minor=_compute_returned_platform_fee(refund, get_fee_basis(refund.payment_id)),
        is_opening=is_opening,
    )


def post_failed_refund(refund: Refund, *, is_opening: bool = False) -> None:
    """Releases what a failed refund had reserved."""
    postings.void_refund(subject=_build_refund_subject(refund), is_opening=is_opening)


def post_reversed_refund(refund: Refund, *, is_opening: bool = False) -> None:
    """Reverses a refund that failed after it had succeeded."""
    postings.reverse_refund(subject=_build_refund_subject(refund), is_opening=is_opening)


def post_dispute_change(
    *,
    dispute: Dispute,
    withdrawn_before_minor: int,
    suspense_before_minor: int,
    is_opening: bool = False,
) -> None:
    """Posts what the bank has taken or given back since `withdrawn_before_minor`, and what has come into suspense or
    left it since `suspense_before_minor`."""
    amount_minor = dispute.withdrawn_minor - withdrawn_before_minor
    suspense_minor = dispute.suspense_minor - suspense_before_minor
    if amount_minor == 0 and suspense_minor == 0:
        return
    payment = dispute.payment
    paid = dispute.attempt or payment
    postings.post_dispute(
        subject=PostingSubject(
            dispute.id,
            dispute.dispute_no,
            payment.id,
            payment.merchant_id,
            payment.environment,
            dispute.currency.upper(),
        ),
        holding_account=HoldingAccount(paid.channel, paid.channel_account_id),
        amount_minor=amount_minor,
        suspense_minor=suspense_minor,
        is_opening=is_opening,
    )


def post_added_suspense(item: SuspenseItem) -> None:
    postings.add_to_suspense(
        subject=_build_item_subject(item),
        holding_account=_get_item_account(item),
        amount_minor=item.amount_minor,
    )


def post_released_suspense(item: SuspenseItem, *, is_charged: bool = False) -> None:
    postings.release_from_suspense(
        subject=_build_item_subject(item),
        holding_account=_get_item_account(item),
        amount_minor=item.amount_minor,
        is_charged=is_charged,
    )


def post_charged_suspense(item: SuspenseItem) -> None:
    postings.charge_suspense(
        subject=_build_item_subject(item),
        holding_account=_get_item_account(item),
        amount_minor=item.amount_minor,
    )


def post_completed_refund(refund: Refund, *, amount_minor: int) -> None:
    """Posts the rest of a refund, which was in suspense, and gives back what belongs to it of the fees. The caller has
    added it to the refunded total in the database."""
    refund.payment.refresh_from_db(fields=["refunded_minor"])
    postings.complete_refund(
        subject=_build_refund_subject(refund),
        holding_account=_get_refund_account(refund),
        amount_minor=amount_minor,
        application_fee_minor=_compute_returned_fee(refund, amount_minor),
        platform_fee_minor=_compute_returned_platform_fee(refund, get_fee_basis(refund.payment_id)),
    )


def _build_item_subject(item: SuspenseItem) -> PostingSubject:
    payment = item.payment
    source = item.refund.refund_no if item.refund else item.channel_refund_no
    return PostingSubject(
        item.id, source[:64], payment.id, payment.merchant_id, payment.environment, item.currency
    )


def _get_item_account(item: SuspenseItem) -> HoldingAccount:
    return HoldingAccount(item.channel, item.channel_account_id)


def _build_payment_subject(payment: Payment) -> PostingSubject:
    return _build_subject(payment, payment.id, payment.payment_no)


def _build_refund_subject(refund: Refund) -> PostingSubject:
    return _build_subject(refund.payment, refund.id, refund.refund_no)


def _build_subject(payment: Payment, subject_id: uuid.UUID, source: str) -> PostingSubject:
    return PostingSubject(
        subject_id, source, payment.id, payment.merchant_id, payment.environment, payment.currency
    )


def _get_refund_account(refund: Refund) -> HoldingAccount:
    """Returns the account at which the refunded money was captured."""
    paid = refund.duplicate_attempt or refund.payment
    return HoldingAccount(paid.channel, paid.channel_account_id)


def _compute_captured_fee(payment: Payment, amount_minor: int) -> int:
    """The application fee of this part of the authorized amount. Only an account has one, so a payment of the
    platform's own account costs no statement."""
    if payment.channel_account_id is None:
        return 0
    fee_minor = payment.attempts.order_by("-number").values_list("application_fee_minor", flat=True).first()
    return reduce_application_fee(fee_minor or 0, amount_minor, payment.authorized_minor)


def _compute_returned_fee(refund: Refund, amount_minor: int) -> int:
    """The part of the fee that the channel gives back with this refund: in proportion, rounded down, and the rest with
    the last one. The refunded total of the payment includes this refund."""
    if not refund.returns_application_fee:
        return 0
    payment, attempt = refund.payment, refund.duplicate_attempt
    paid_id = attempt.id if attempt else payment.id
    taken_minor = selectors.sum_application_fees([paid_id])
    siblings = Refund.objects.filter(payment=payment, duplicate_attempt=attempt).values_list("id", flat=True)
    left_minor = selectors.sum_application_fees([paid_id, *siblings])
    if attempt:
        attempt.refresh_from_db(fields=["duplicate_refunded_minor"])
        captured_minor, refunded_minor = attempt.duplicate_minor, attempt.duplicate_refunded_minor
    else:
        payment.refresh_from_db(fields=["refunded_minor"])
        captured_minor, refunded_minor = payment.captured_minor, payment.refunded_minor
    if refunded_minor >= captured_minor:
        return left_minor
    return min(left_minor, taken_minor * amount_minor // captured_minor)


def _compute_platform_fee(
    payment: Payment, captured_before_minor: int, fee_source: Mapping[str, Any] | None
) -> CaptureFee:
    """The fee by the merchant's plan. Without a plan, and at a merchant's account, there is no source."""
    if fee_source is None:
        return NO_FEE
    captured = CapturedPayment(
        id=payment.id,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        currency=payment.currency,
        channel=payment.channel,
        payment_method=payment.payment_method,
        captured_before_minor=captured_before_minor,
        captured_minor=payment.captured_minor,
    )
    return compute_capture_fee(captured, fee_source)


def _compute_returned_platform_fee(refund: Refund, fee_basis: Mapping[str, Any] | None) -> int:
    """A late or duplicate payment has no platform fee, so a refund of it gives none back."""
    if fee_basis is None or refund.duplicate_attempt_id is not None:
        return 0
    return compute_refund_fee(
        payment_id=refund.payment_id,
        basis=fee_basis,
        captured_minor=refund.payment.captured_minor,
        refunded_minor=refund.payment.refunded_minor,
    )

"""Applies what a channel reports about a payment. `_apply_to_current_attempt` has the rules for each reported state.

`gateway/flows/received_payments.py` records captured money.
"""

import structlog
from django.db import transaction

from channels.base import ChannelPayment, PaymentState, ReportedCard
from gateway import selectors, state_machine, tracing
from gateway.flows.channel_outcomes import describe_payment_mismatch
from gateway.flows.payment_cancel import start_release_saga
from gateway.flows.payment_complete import complete_approved_payment
from gateway.flows.received_payments import (
    is_refund_automatic,
    open_mismatch_review,
    receive_duplicate_payment,
    receive_partial_capture,
    receive_payment,
)
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    ReviewCode,
    UpdateEffect,
)
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value, state_value
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.update_source import UpdateSource
from sagas import operations
from sagas import selectors as saga_selectors

log = structlog.get_logger(__name__)

# An update can settle a capture or an increment whose outcome was unknown. While the saga of one waits or is in review,
# no other operation of the payment can begin.
SETTLED_BY_UPDATES = ("payment.capture", "payment.increment_authorization")


def apply_payment_update(*, update: ChannelPayment, source: UpdateSource) -> UpdateEffect:
    """Applies the update that `source` reports. Applying it again changes nothing."""
    with transaction.atomic(savepoint=False):  # joins the transaction of a webhook
        payment = selectors.lock_payment_by_reference(update.reference)
        if payment is None:
            return UpdateEffect.UNKNOWN_REFERENCE
        earlier_attempt = selectors.find_earlier_attempt(payment, update.reference)
        if not is_from_own_channel(source, earlier_attempt or payment, payment.environment):
            return UpdateEffect.UNKNOWN_REFERENCE
        with tracing.payment_update_span(payment, source.channel) as span:
            effect = _apply_unless_mismatched(payment, earlier_attempt, update)
            span.set_attribute("outcome", effect)
            return effect


def apply_card_update(*, update: ReportedCard, source: UpdateSource) -> UpdateEffect:
    """Records which card paid, where the channel reports it apart from the payment. Only for the current attempt: the
    card of an earlier one did not pay what the payment shows."""
    with transaction.atomic(savepoint=False):  # joins the transaction of a webhook
        payment = selectors.lock_payment_by_reference(update.reference)
        if payment is None or not is_from_own_channel(source, payment, payment.environment):
            return UpdateEffect.UNKNOWN_REFERENCE
        if payment.reference != update.reference:
            return UpdateEffect.NOTHING_NEW
        recorded = state_machine.record_card(payment=payment, card=update.card)
        return UpdateEffect.APPLIED if recorded else UpdateEffect.NOTHING_NEW


def _apply_unless_mismatched(
    payment: Payment, earlier_attempt: PaymentAttempt | None, update: ChannelPayment
) -> UpdateEffect:
    mismatch = describe_payment_mismatch(
        update,
        reference=update.reference,
        amount_minor=_choose_expected_amount(payment, update),
        currency=payment.currency,
    )
    if earlier_attempt is None and not mismatch:
        mismatch = _describe_lost_capture(payment, update)
    if mismatch:
        # Nothing of the update is applied, because no rule can say which side is wrong.
        open_mismatch_review(payment=payment, subject=update.reference, mismatch=mismatch)
        return UpdateEffect.NEEDS_REVIEW
    if earlier_attempt is not None:
        return _apply_to_earlier_attempt(payment, earlier_attempt, update)
    effect = _apply_to_current_attempt(payment, update)
    if update.card is not None:  # does not count as an effect: neither status nor money changes
        state_machine.record_card(payment=payment, card=update.card)
    return effect


def _choose_expected_amount(payment: Payment, update: ChannelPayment) -> int:
    """The amount that the update should report: the authorized total. An update that is older than an increment, or
    newer than our record of it, may report another total of this attempt."""
    reported = update.amount_minor
    if reported in (None, payment.authorized_minor):
        return payment.authorized_minor
    totals = selectors.list_authorized_totals(payment, update.reference)
    return reported if reported in totals else payment.authorized_minor


def _describe_lost_capture(payment: Payment, update: ChannelPayment) -> ReviewReason | None:
    """Describes an end that contradicts the captures that we know; None without a contradiction."""
    has_ended = update.state in (PaymentState.PAID, PaymentState.CANCELLED, PaymentState.DECLINED)
    if not (payment.is_partly_captured and has_ended and update.captured_minor < payment.captured_minor):
        return None
    return ReviewReason(
        ReviewMessage.CAPTURES_LOST,
        {
            "state": state_value(update.state),
            "reported": amount_value(update.captured_minor, payment.currency),
            "known": amount_value(payment.captured_minor, payment.currency),
        },
    )


def _apply_to_earlier_attempt(
    payment: Payment, attempt: PaymentAttempt, update: ChannelPayment
) -> UpdateEffect:
    """The payment has a later attempt, which the customer may be paying at this moment."""
    match update.state:
        case PaymentState.PAID:
            return receive_duplicate_payment(
                payment=payment,
                attempt=attempt,
                captured_minor=update.captured_minor,
                channel_trade_no=update.channel_trade_no,
            )
        case PaymentState.AUTHORIZED:
            return _release_held_funds(payment, attempt)
        case _:
            return UpdateEffect.NOTHING_NEW


def _apply_to_current_attempt(payment: Payment, update: ChannelPayment) -> UpdateEffect:
    """The rules. The functions of the state machine change nothing when the payment's status does not allow it."""
    match update.state, payment.status:
        case PaymentState.PAID, _:
            # Money counts in every status. For a closed payment it is a late payment.
            return _apply_paid_state(payment, update)
        case _ if _wake_creating_saga(payment):
            # The creating saga is running, and queries the channel itself.
            return UpdateEffect.SAGA_WOKEN
        case PaymentState.AUTHORIZED, status if status in CLOSED_UNPAID_STATUSES:
            # Nobody will capture what the channel holds for a closed payment.
            return _release_held_funds(payment, None)
        case PaymentState.AUTHORIZED, _:
            changed = _apply_authorization(payment, update)
        case PaymentState.APPROVED, _:
            _record_trade_no(payment, update)
            before = update.complete_before.isoformat() if update.complete_before else ""
            changed = complete_approved_payment(payment=payment, complete_before=before)
        case PaymentState.PROCESSING, _:
            changed = state_machine.mark_payment_processing(payment=payment)
        case PaymentState.OPEN, PaymentStatus.PROCESSING:
            # An attempt of the customer to pay has failed. Updates arrive in any order: only a query can tell whether
            # it was the attempt that is being processed.
            state_machine.schedule_payment_query(payment=payment)
            changed = False
        case PaymentState.OPEN, _:
            # With a failure code: a card was refused, and the customer may try another one.
            changed = bool(update.failure_code) and state_machine.record_refused_card(
                payment=payment, code=update.failure_code, message=update.failure_message
            )
        case ((PaymentState.DECLINED | PaymentState.CANCELLED), _):
            status, code, message = _map_unpaid_status(update)
            changed = state_machine.close_unpaid_payment(
                payment=payment, status=status, code=code, message=message
            )
            if changed:
                # A cancellation may wait until the customer's page ends: until then no further attempt could begin.
                waiting = ("payment.cancel", *SETTLED_BY_UPDATES)
                operations.wake_sagas_of(business_id=payment.payment_no, definitions=waiting)
    return UpdateEffect.APPLIED if changed else UpdateEffect.NOTHING_NEW


def _apply_authorization(payment: Payment, update: ChannelPayment) -> bool:
    """The channel holds funds; some of them may have been captured, and others added."""
    changed = state_machine.mark_payment_authorized(payment=payment)
    changed |= _apply_increment(payment, update)
    if update.captured_minor > payment.captured_minor:
        effect = receive_partial_capture(payment=payment, captured_minor=update.captured_minor)
        changed |= effect == UpdateEffect.APPLIED
    if changed:
        operations.wake_sagas_of(business_id=payment.payment_no, definitions=SETTLED_BY_UPDATES)
    return changed


def _apply_increment(payment: Payment, update: ChannelPayment) -> bool:
    """The channel authorizes more than we know: an increment whose answer is still missing."""
    if update.amount_minor is None or update.amount_minor <= payment.authorized_minor:
        return False
    increment = selectors.find_increment(payment, update.amount_minor)
    return increment is not None and state_machine.mark_increment_succeeded(
        increment_id=increment.id, payment=payment
    )


def _apply_paid_state(payment: Payment, update: ChannelPayment) -> UpdateEffect:
    _record_trade_no(payment, update)
    _apply_increment(payment, update)
    effect = receive_payment(payment=payment, captured_minor=update.captured_minor, card=update.card)
    if effect == UpdateEffect.APPLIED:
        # These may wait for the outcome: the creation, a cancellation while the page was open, a completion.
        waiting = ("payment.create", "payment.retry", "payment.cancel", "payment.complete")
        operations.wake_sagas_of(business_id=payment.payment_no, definitions=(*waiting, *SETTLED_BY_UPDATES))
    return effect


def _record_trade_no(payment: Payment, update: ChannelPayment) -> None:
    if not payment.channel_trade_no:
        payment.channel_trade_no = update.channel_trade_no
        Payment.objects.filter(id=payment.id).update(channel_trade_no=update.channel_trade_no)


def _wake_creating_saga(payment: Payment) -> bool:
    saga_id = selectors.get_creating_saga_id(payment)
    if not saga_selectors.is_saga_active(saga_id):
        return False
    operations.wake_saga(saga_id=saga_id)
    return True


def _map_unpaid_status(update: ChannelPayment) -> tuple[PaymentStatus, str, str]:
    """Status, failure code and failure message of a payment that the channel declined or cancelled."""
    if update.state == PaymentState.DECLINED:
        return PaymentStatus.FAILED, update.failure_code or "declined", update.failure_message
    if update.failure_code == PaymentStatus.EXPIRED:
        return PaymentStatus.EXPIRED, PaymentStatus.EXPIRED.value, ""
    return PaymentStatus.CANCELLED, "cancelled_at_channel", ""


def _release_held_funds(payment: Payment, attempt: PaymentAttempt | None) -> UpdateEffect:
    """Releases what the channel holds for a closed payment, or for an earlier attempt; where nothing is refunded
    automatically, opens a review instead."""
    reference = attempt.reference if attempt else payment.reference
    log.warning("payment.held_funds", payment_no=payment.payment_no, reference=reference)
    if not is_refund_automatic(payment):
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.HELD_FUNDS,
            subject=reference,
            reason=ReviewReason(ReviewMessage.HELD_FUNDS, {"reference": reference}),
        )
        return UpdateEffect.LATE_PAYMENT
    started = start_release_saga(payment=payment, attempt=attempt)
    return UpdateEffect.LATE_PAYMENT if started else UpdateEffect.NOTHING_NEW

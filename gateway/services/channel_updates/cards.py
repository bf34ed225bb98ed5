"""Records which card paid, reported apart from the payment."""

from django.db import transaction

from channels.base import ReportedCard
from gateway import selectors, state_machine
from gateway.models import UpdateEffect
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.update_source import UpdateSource


def apply_card_update(*, update: ReportedCard, source: UpdateSource) -> UpdateEffect:
    """Only for the current attempt: the card of an earlier one did not pay what the payment shows."""
    with transaction.atomic(savepoint=False):  # joins the transaction of a webhook
        payment = selectors.lock_payment_by_reference(update.reference)
        if payment is None or not is_from_own_channel(source, payment, payment.environment):
            return UpdateEffect.UNKNOWN_REFERENCE
        if payment.reference != update.reference:
            return UpdateEffect.NOTHING_NEW
        recorded = state_machine.record_card(payment=payment, card=update.card)
        return UpdateEffect.APPLIED if recorded else UpdateEffect.NOTHING_NEW

"""Emits the events of payouts, in the transaction of what they report."""

from events.outbox import Event, append_event
from payouts.models import Payout
from payouts.representation import payout_body


def emit_payout_event(event_type: str, payout: Payout) -> None:
    append_event(
        Event(
            type=event_type,
            ordering_key=payout.payout_no,
            merchant_id=payout.merchant_id,
            environment=payout.environment,
            subject_id=payout.id,
            data=payout_body(payout),
        )
    )

"""The state machine of captures. The caller holds the payment's lock.

A channel reports the total of its captures, and reports arrive in any order: the total only grows, and what no capture
of ours explains was captured at the channel itself.
"""

import uuid

from django.db.models.functions import Now

from common.transitions import sources_of
from gateway.models import Capture, CaptureStatus, Payment
from gateway.state_machine.transitions import CAPTURE_TRANSITIONS


def begin_capture(*, capture_id: uuid.UUID, payment: Payment, amount_minor: int, is_final: bool) -> None:
    """Records the intent of a capture. The database refuses a second one in flight."""
    Capture.objects.create(
        id=capture_id,
        payment=payment,
        number=get_next_capture_number(payment),
        amount_minor=amount_minor,
        is_final=is_final,
    )


def get_next_capture_number(payment: Payment) -> int:
    last = payment.captures.order_by("-number").values_list("number", flat=True).first()
    return (last or 0) + 1


def settle_captures(*, payment: Payment, is_final: bool) -> Capture | None:
    """Makes the succeeded captures add up to the payment's captured amount, which has grown: by the capture in flight,
    or else by one that was made at the channel. Returns that capture."""
    captures = list(payment.captures.exclude(status=CaptureStatus.FAILED))
    recorded_minor = sum(each.amount_minor for each in captures if each.status == CaptureStatus.SUCCEEDED)
    left_minor = payment.captured_minor - recorded_minor
    in_flight = next((each for each in captures if each.status == CaptureStatus.PENDING), None)
    if left_minor <= 0:
        return None
    if in_flight is not None and in_flight.amount_minor == left_minor:
        mark_capture_succeeded(capture_id=in_flight.id)
        in_flight.refresh_from_db()
        return in_flight
    capture: Capture = Capture.objects.create(
        payment=payment,
        number=get_next_capture_number(payment),
        amount_minor=left_minor,
        is_final=is_final,
        is_made_at_channel=True,
        status=CaptureStatus.SUCCEEDED,
        settled_at=Now(),
    )
    capture.refresh_from_db()
    return capture


def mark_capture_succeeded(*, capture_id: uuid.UUID) -> bool:
    return _settle(capture_id, CaptureStatus.SUCCEEDED)


def mark_capture_failed(*, capture_id: uuid.UUID, code: str, message: str) -> bool:
    return _settle(capture_id, CaptureStatus.FAILED, failure_code=code, failure_message=message)


def _settle(capture_id: uuid.UUID, status: CaptureStatus, **changes: str) -> bool:
    sources = sources_of(CAPTURE_TRANSITIONS, status)
    found = Capture.objects.filter(id=capture_id, status__in=sources)
    return bool(found.update(status=status, settled_at=Now(), **changes))

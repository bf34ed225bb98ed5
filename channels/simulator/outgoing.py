"""Stores the bank's webhooks for sending, as the payment's script says."""

import secrets
import time
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from channels.simulator import faults
from channels.simulator.models import Notification, SimulatedPayment


def queue_notification(
    payment: SimulatedPayment, event_type: str, content: dict[str, Any], *, delay: float = 0.0
) -> None:
    script = faults.parse_script(payment.simulate)
    if script.asks_for("no_webhook"):
        return
    event_id = f"sim_evt_{secrets.token_hex(12)}"
    seconds = delay + script.behaviours.get("late_webhook", 0.0)
    Notification.objects.create(
        event_id=event_id,
        event_type=event_type,
        reference=payment.reference,
        payload={"event_id": event_id, "type": event_type, "created": int(time.time()), **content},
        deliveries_left=2 if script.asks_for("duplicate_webhook") else 1,
        due_at=Now() + timedelta(seconds=seconds),
    )

"""What one Stripe account holds in test mode, by a clock that tests move, and the events it sends."""

import itertools
import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from channels.stripe.config import API_VERSION
from tests.support.stripe.requests import Refusal
from tests.support.stripe.spec import Shape, blank, require_object


@dataclass
class Account:
    """Objects are as Stripe shows them. `_details` holds what Stripe knows of a session and does not show."""

    sessions: dict[str, Shape] = field(default_factory=dict)
    intents: dict[str, Shape] = field(default_factory=dict)
    charges: dict[str, Shape] = field(default_factory=dict)
    refunds: dict[str, Shape] = field(default_factory=dict)
    disputes: dict[str, Shape] = field(default_factory=dict)
    endpoints: dict[str, Shape] = field(default_factory=dict)
    customers: set[str] = field(default_factory=lambda: {"cus_fake"})
    session_intent_data: dict[str, Shape] = field(default_factory=dict)
    events: list[Shape] = field(default_factory=list)
    refund_status: str = "succeeded"  # of new refunds
    search_lags: bool = True
    has_search: bool = True
    ahead_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def now(self) -> int:
        return int(time.time() + self.ahead_seconds)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):06d}"

    def made(self, name: str, prefix: str, **fields: Any) -> Shape:
        """A new object: what is not given and can be null is null."""
        common = {"id": self.new_id(prefix), "object": name, "created": self.now()}
        return require_object({**blank(name), **common, **fields})

    def changed(self, shape: Shape, **fields: Any) -> Shape:
        shape.update(fields)
        return require_object(shape)

    def emit(self, kind: str, subject: Shape) -> None:
        """Keeps the event that Stripe would send: a snapshot, in the version of its endpoint."""
        self.events.append(event(kind, subject, created=self.now()))

    def intent(self, intent_id: str) -> Shape:
        return _found(self.intents, intent_id, "payment_intent", "intent")

    def session(self, session_id: str) -> Shape:
        return _found(self.sessions, session_id, "checkout.session", "session")

    def refund(self, refund_id: str) -> Shape:
        return _found(self.refunds, refund_id, "refund", "refund")

    def session_of(self, intent_id: str) -> Shape | None:
        return next((s for s in self.sessions.values() if s["payment_intent"] == intent_id), None)


_event_numbers = itertools.count(1)


def event(kind: str, subject: Shape, **changes: Any) -> Shape:
    """An event as Stripe sends it (docs.stripe.com/api/events/object). Raises `NotPublished` for one that it would not;
    an empty `subject` stands for an object that is none of ours."""
    return require_object(
        {
            "id": f"evt_{next(_event_numbers):08d}{int(time.time())}",
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": {"object": deepcopy(subject)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            **changes,
        }
    )


def _found(shapes: dict[str, Shape], wanted: str, name: str, param: str) -> Shape:
    if wanted not in shapes:
        message = f"No such {name}: '{wanted}'"
        raise Refusal(404, message, code="resource_missing", param=param, is_kept=False)
    return shapes[wanted]

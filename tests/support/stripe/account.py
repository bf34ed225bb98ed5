"""The objects of one Stripe account in test mode, its clock, which tests advance, and its events."""

import itertools
import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from channels.stripe.config import API_VERSION
from channels.stripe.metadata import PAYMENT_NO
from tests.support.stripe.messages import ErrorResponse
from tests.support.stripe.specification import JsonObject, build_null_fields, require_valid_object

PLATFORM_NUMBER, APPLICATION = "acct_platform", "ca_fake"


@dataclass
class StripeAccount:
    """Objects are as Stripe shows them. `session_intent_data` is what Stripe knows of a session and does not show.

    `application`: the Connect application of the platform that the account is connected to; empty: the platform's own.
    """

    number: str = PLATFORM_NUMBER
    application: str = ""
    can_charge: bool = True
    application_fees: dict[str, JsonObject] = field(default_factory=dict)
    sessions: dict[str, JsonObject] = field(default_factory=dict)
    intents: dict[str, JsonObject] = field(default_factory=dict)
    charges: dict[str, JsonObject] = field(default_factory=dict)
    refunds: dict[str, JsonObject] = field(default_factory=dict)
    disputes: dict[str, JsonObject] = field(default_factory=dict)
    files: dict[str, JsonObject] = field(default_factory=dict)
    endpoints: dict[str, JsonObject] = field(default_factory=dict)
    customers: set[str] = field(default_factory=lambda: {"cus_fake"})
    session_intent_data: dict[str, JsonObject] = field(default_factory=dict)
    events: list[JsonObject] = field(default_factory=list)
    refund_status: str = "succeeded"  # of new refunds
    search_lags: bool = True
    has_search: bool = True
    ahead_seconds: float = 0.0
    declines_increments: bool = False
    # How often a charge was captured, and an intent incremented.
    captures: dict[str, int] = field(default_factory=dict)
    increments: dict[str, int] = field(default_factory=dict)

    def now(self) -> int:
        return int(time.time() + self.ahead_seconds)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(_object_numbers):06d}"

    def create_object(self, name: str, prefix: str, **fields: Any) -> JsonObject:
        """Creates an object. A nullable field that is not given is null."""
        common = {"id": self.new_id(prefix), "object": name, "created": self.now()}
        return require_valid_object({**build_null_fields(name), **common, **fields})

    def update_object(self, stripe_object: JsonObject, **fields: Any) -> JsonObject:
        stripe_object.update(fields)
        return require_valid_object(stripe_object)

    def emit_event(self, kind: str, subject: JsonObject) -> None:
        """Stores the event that Stripe would send, with a snapshot of the object (docs.stripe.com/api/events).

        An event of a connected account names it (docs.stripe.com/connect/webhooks).
        """
        named = {"account": self.number} if self.application else {}
        self.events.append(build_event(kind, subject, created=self.now(), **named))

    def get_intent(self, intent_id: str) -> JsonObject:
        return _find(self.intents, intent_id, "payment_intent", "intent")

    def get_session(self, session_id: str) -> JsonObject:
        return _find(self.sessions, session_id, "checkout.session", "session")

    def get_dispute(self, dispute_id: str) -> JsonObject:
        return _find(self.disputes, dispute_id, "dispute", "dispute")

    def get_refund(self, refund_id: str) -> JsonObject:
        return _find(self.refunds, refund_id, "refund", "refund")

    def get_amounts(self, payment_no: str) -> tuple[int, int]:
        """Returns what was captured and refunded for a payment of ours, over all its PaymentIntents."""
        ours = [i for i in self.intents.values() if i["metadata"].get(PAYMENT_NO) == payment_no]
        charges = [self.charges[i["latest_charge"]] for i in ours if i["latest_charge"]]
        return sum(i["amount_received"] for i in ours), sum(c["amount_refunded"] for c in charges)

    def find_session_of_intent(self, intent_id: str) -> JsonObject | None:
        return next((s for s in self.sessions.values() if s["payment_intent"] == intent_id), None)


# No two accounts have objects with the same id.
_object_numbers = itertools.count(1)
_event_numbers = itertools.count(1)


def build_event(kind: str, subject: JsonObject, **changes: Any) -> JsonObject:
    """Builds an event as Stripe sends it (docs.stripe.com/api/events/object).

    An empty `subject` stands for an object that is not ours. Raises `NotPublished` for an event of an unknown type.
    """
    return require_valid_object(
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


def _find(objects: dict[str, JsonObject], object_id: str, name: str, param: str) -> JsonObject:
    if object_id not in objects:
        message = f"No such {name}: '{object_id}'"
        raise ErrorResponse(404, message, code="resource_missing", param=param, is_kept=False)
    return objects[object_id]

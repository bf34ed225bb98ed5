"""How long history is kept. docs/OPERATIONS.md shows these times to operators."""

from datetime import timedelta

SAGA_RETENTION = timedelta(days=30)
# `GET /events` and resending reach as far back as this.
EVENT_RETENTION = timedelta(days=30)
# A channel resends an event for days (Stripe: three, and 30 by hand), so its id must stay known.
CHANNEL_EVENT_RETENTION = timedelta(days=90)
CONSISTENCY_RETENTION = timedelta(days=90)
# Channel events about no payment of ours, such as those of another system on the same account.
UNKNOWN_EVENT_RETENTION = timedelta(days=7)
MAX_UNKNOWN_EVENTS = 10_000

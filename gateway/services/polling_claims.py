"""The claim of due polls: which payments and refunds are polled next, fairly between merchants.

A place goes to the merchant that holds the fewest (ADR 22). Of one merchant's payments, the one comes first that is
most overdue in relation to its interval: new payments, whose interval is a minute, and with time every other one.
Larger amounts count for more. A claim moves the next poll on before the call, so that a crash delays one poll.
`gateway/polling_intervals.py` has the intervals.
"""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from gateway.polling_intervals import LONGEST_POLL_INTERVAL_SECONDS, POLL_BASE_SECONDS

# What one claim reads, so that its cost is bounded. A group: payments of one merchant that are polled equally often.
GROUPS_PER_CLAIM = 200
ROWS_PER_GROUP = 12
NO_MERCHANT = uuid.UUID(int=0)

# `walk` goes from group to group in the index of due polls. A merchant holds at most as many places as are left free.
_CLAIM = """
WITH RECURSIVE walk AS (
    (SELECT merchant_id, check_count, next_check_at, 1 AS number FROM {table}
     WHERE {scope} AND next_check_at IS NOT NULL AND merchant_id > %(after)s::uuid
     ORDER BY merchant_id, check_count, next_check_at LIMIT 1)
    UNION ALL
    SELECT following.merchant_id, following.check_count, following.next_check_at, walk.number + 1
    FROM walk CROSS JOIN LATERAL (
        SELECT merchant_id, check_count, next_check_at FROM {table}
        WHERE {scope} AND next_check_at IS NOT NULL
          AND (merchant_id, check_count) > (walk.merchant_id, walk.check_count)
        ORDER BY merchant_id, check_count, next_check_at LIMIT 1) AS following
    WHERE walk.number < %(groups)s::int
), candidates AS (
    SELECT due.id, walk.merchant_id,
           extract(epoch FROM now() - due.next_check_at) / least({base} * 2 ^ least(walk.check_count, 20), %(longest)s)
               * length(due.amount_minor::text) AS urgency
    FROM walk CROSS JOIN LATERAL (
        SELECT id, next_check_at, amount_minor FROM {table}
        WHERE {scope} AND merchant_id = walk.merchant_id AND check_count = walk.check_count
          AND next_check_at <= now()
        ORDER BY next_check_at LIMIT %(rows)s::int) AS due
    WHERE walk.next_check_at <= now()
), ranked AS (
    SELECT id, urgency, coalesce(held.calls, 0)
           + row_number() OVER (PARTITION BY candidates.merchant_id ORDER BY urgency DESC, id DESC) AS rank
    FROM candidates LEFT JOIN (
        SELECT key::uuid AS merchant_id, value::int AS calls FROM jsonb_each_text(%(held)s::jsonb)) AS held
        ON held.merchant_id = candidates.merchant_id
), ranked_by_fairness AS (
    SELECT id, rank, row_number() OVER (ORDER BY rank, urgency DESC, id DESC) AS fair_rank FROM ranked
), picked AS MATERIALIZED (
    SELECT id FROM ranked_by_fairness
    WHERE fair_rank <= %(places)s::int AND rank <= greatest(1, %(places)s::int - fair_rank)
), locked AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE id IN (SELECT id FROM picked) AND next_check_at <= now() FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE {table} SET
        next_check_at = now() + make_interval(secs => least({base} * 2 ^ least(check_count, 20), %(longest)s)),
        check_count = check_count + 1
    WHERE id IN (SELECT id FROM locked)
    RETURNING id, merchant_id, check_count - 1 AS check_count
), progress AS (
    SELECT (SELECT count(*) FROM ranked_by_fairness) AS candidates, (SELECT count(*) FROM picked) AS picked,
           (SELECT count(*) FROM walk) AS walked,
           (SELECT merchant_id FROM walk ORDER BY number DESC LIMIT 1) AS last_merchant
)
SELECT progress.candidates, progress.picked, progress.walked, progress.last_merchant,
       (SELECT merchant_id FROM walk WHERE merchant_id < progress.last_merchant ORDER BY number DESC LIMIT 1),
       claimed.id, claimed.merchant_id, claimed.check_count
FROM progress LEFT JOIN claimed ON true
"""
CLAIM_PAYMENTS = _CLAIM.format(
    base=POLL_BASE_SECONDS,
    table="payments",
    scope="environment = %(environment)s AND channel = %(channel)s",
)
CLAIM_REFUNDS = _CLAIM.format(base=POLL_BASE_SECONDS, table="refunds", scope="environment = %(environment)s")


@dataclass(frozen=True, slots=True)
class ClaimedPoll:
    """A claimed payment or refund. `check_count` is the count before the claim."""

    id: uuid.UUID
    merchant_id: uuid.UUID
    check_count: int


@dataclass(frozen=True, slots=True)
class PollBatch:
    items: Sequence[ClaimedPoll]
    more: bool
    contended: bool  # another process had locked rows that this claim chose
    after: uuid.UUID  # where the next claim begins; `NO_MERCHANT` when this one reached the end


def claim_due_polls(
    sql: str,
    *,
    environment: str,
    channel: str = "",
    places: int,
    held: Counter[uuid.UUID] | None = None,
    after: uuid.UUID = NO_MERCHANT,
) -> PollBatch:
    """Claims at most `places` due polls with `CLAIM_PAYMENTS` or `CLAIM_REFUNDS`. `held`: the number of calls in
    flight of each merchant."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            build_claim_parameters(
                environment=environment, channel=channel, places=places, held=held or Counter(), after=after
            ),
        )
        rows = cursor.fetchall()
    candidates, picked, walked, last, before_last = rows[0][:5]
    items = [ClaimedPoll(*row[5:]) for row in rows if row[5] is not None]
    # The walk may have ended within the last merchant, so that the next claim begins with that merchant.
    following = (before_last or last) if walked == GROUPS_PER_CLAIM else NO_MERCHANT
    return PollBatch(items, more=candidates > len(items), contended=picked > len(items), after=following)


def build_claim_parameters(
    *, environment: str, channel: str, places: int, held: Mapping[uuid.UUID, int], after: uuid.UUID
) -> dict[str, str | int | uuid.UUID]:
    return {
        "environment": environment,
        "channel": channel,
        "places": places,
        "held": json.dumps({str(merchant): calls for merchant, calls in held.items()}),
        "after": after,
        "groups": GROUPS_PER_CLAIM,
        "rows": ROWS_PER_GROUP,
        "longest": LONGEST_POLL_INTERVAL_SECONDS,
    }

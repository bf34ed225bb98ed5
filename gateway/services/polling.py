"""Polls channels about payments and refunds that stay open: as many as are due, bounded by what a channel may bear.

Each channel and environment has places of its own, so that a slow channel delays only itself and test never delays
live. A place goes to the merchant that holds the fewest (ADR 22). Of a merchant, what is most overdue in relation to
its interval comes first: the newest, whose interval is a minute, and with time everybody. Larger amounts count for
more. A claim moves the next check on before the call, so that a crash delays one check. Intervals double up to six
hours. During a call no connection to the database is held.
"""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from channels.registry import list_channel_names
from common.claim_loop import Claimed, ClaimLoop
from gateway.models import Payment, Refund
from gateway.services import channel_queries
from merchants.models import Environment

POLL_SECONDS = 2.0
REFUND_PLACES = 4
# What one claim looks at, so that its cost is bounded. A group: payments of a merchant, checked equally often.
GROUPS_PER_CLAIM = 200
ROWS_PER_GROUP = 12
LONGEST_INTERVAL_SECONDS = 6 * 3600
NO_MERCHANT = uuid.UUID(int=0)

# `walk` goes from group to group in the index of checks. A merchant holds at most as many places as are left free.
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
           extract(epoch FROM now() - due.next_check_at) / least(60 * 2 ^ least(walk.check_count, 20), %(longest)s)
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
), turns AS (
    SELECT id, rank, row_number() OVER (ORDER BY rank, urgency DESC, id DESC) AS turn FROM ranked
), picked AS MATERIALIZED (
    SELECT id FROM turns WHERE turn <= %(places)s::int AND rank <= greatest(1, %(places)s::int - turn)
), locked AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE id IN (SELECT id FROM picked) AND next_check_at <= now() FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE {table} SET
        next_check_at = now() + make_interval(secs => least(60 * 2 ^ least(check_count, 20), %(longest)s)),
        check_count = check_count + 1
    WHERE id IN (SELECT id FROM locked)
    RETURNING id, merchant_id, check_count - 1 AS check_count
), place AS (
    SELECT (SELECT count(*) FROM turns) AS candidates, (SELECT count(*) FROM picked) AS picked,
           (SELECT count(*) FROM walk) AS walked,
           (SELECT merchant_id FROM walk ORDER BY number DESC LIMIT 1) AS last_merchant
)
SELECT place.candidates, place.picked, place.walked, place.last_merchant,
       (SELECT merchant_id FROM walk WHERE merchant_id < place.last_merchant ORDER BY number DESC LIMIT 1),
       claimed.id, claimed.merchant_id, claimed.check_count
FROM place LEFT JOIN claimed ON true
"""
CLAIM_PAYMENTS = _CLAIM.format(
    table="payments", scope="environment = %(environment)s AND channel = %(channel)s"
)
CLAIM_REFUNDS = _CLAIM.format(table="refunds", scope="environment = %(environment)s")


@dataclass(frozen=True, slots=True)
class Due:
    """A payment or refund whose check is ours. `check_count` is what it was before."""

    id: uuid.UUID
    merchant_id: uuid.UUID
    check_count: int


@dataclass(frozen=True, slots=True)
class Batch:
    items: Sequence[Due]
    more: bool
    contended: bool
    after: uuid.UUID  # where the next claim goes on; `NO_MERCHANT` when all were looked at


def claim(
    sql: str,
    *,
    environment: str,
    channel: str = "",
    places: int,
    held: Counter[uuid.UUID] | None = None,
    after: uuid.UUID = NO_MERCHANT,
) -> Batch:
    """Claims due checks, at most `places`, with `CLAIM_PAYMENTS` or `CLAIM_REFUNDS`. `held`: the calls in flight for
    each merchant."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            claim_values(
                environment=environment, channel=channel, places=places, held=held or Counter(), after=after
            ),
        )
        rows = cursor.fetchall()
    candidates, picked, walked, last, before_last = rows[0][:5]
    items = [Due(*row[5:]) for row in rows if row[5] is not None]
    # The last merchant may not have been looked at wholly, so that the next claim begins with it.
    following = (before_last or last) if walked == GROUPS_PER_CLAIM else NO_MERCHANT
    return Batch(items, more=candidates > len(items), contended=picked > len(items), after=following)


def claim_values(
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
        "longest": LONGEST_INTERVAL_SECONDS,
    }


def poll_payment(due: Due) -> None:
    payment = Payment.objects.get(id=due.id)
    payment.check_count = due.check_count
    connection.close()
    channel_queries.poll_payment(payment)


def poll_refund(due: Due) -> None:
    refund = Refund.objects.select_related("payment", "surplus_of").get(id=due.id)
    refund.check_count = due.check_count
    connection.close()
    channel_queries.poll_refund(refund)


class Poller:
    """Polls what is due of one environment: the payments of one channel, or the refunds of all."""

    def __init__(self, *, environment: str, channel: str = "") -> None:
        self._environment, self._channel = environment, channel
        self._after = NO_MERCHANT
        self._loop = ClaimLoop(
            name=f"polls-{environment}-{channel or 'refunds'}",
            places=settings.CHANNEL_CALLS_PER_PROCESS if channel else REFUND_PLACES,
            claim=self._claim,
            work=poll_payment if channel else poll_refund,
            poll_seconds=POLL_SECONDS,
        )

    def run(self, stop: threading.Event) -> None:
        """Polls until `stop` is set, then lets the calls under way end."""
        self._loop.run(stop)

    def _claim(self, in_flight: Sequence[Due], places: int) -> Claimed[Due]:
        batch = claim(
            CLAIM_PAYMENTS if self._channel else CLAIM_REFUNDS,
            environment=self._environment,
            channel=self._channel,
            places=places,
            held=Counter(due.merchant_id for due in in_flight),
            after=self._after,
        )
        self._after = batch.after
        is_unfinished = batch.contended or batch.after != NO_MERCHANT
        return Claimed(
            batch.items,
            more=batch.more or is_unfinished,
            again=is_unfinished and len(batch.items) < places,
        )


def runs() -> list[Callable[[threading.Event], None]]:
    """A poller for each environment and channel, and one for the refunds of each environment."""
    return [
        Poller(environment=environment, channel=channel).run
        for environment in Environment.values
        for channel in (*list_channel_names(), "")
    ]

"""Every open saga is held by a worker, waits for a retry or a signal, or is left to a person. The sweep sees to that
within seconds; one that nobody has taken for minutes means that the sweep or the workers are down."""

import uuid
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check
from sagas import engine, operations

SQL = """
SELECT s.id::text AS id
FROM saga_instances s
WHERE s.status IN ('pending', 'in_progress') AND NOT s.needs_attention
  AND (s.lease_expires_at <= now() - make_interval(secs => %(grace)s)
    OR (s.lease_expires_at IS NULL
        AND (s.waiting_until IS NULL OR s.waiting_until <= now() - make_interval(secs => %(grace)s))
        AND s.updated_at <= now() - make_interval(secs => %(grace)s)
        AND NOT EXISTS (
            SELECT 1 FROM saga_steps t
            WHERE t.saga_id = s.id AND t.status = 'failed'
              AND t.next_retry_at > now() - make_interval(secs => %(grace)s))))
"""


def carry_on(saga_ids: Sequence[str]) -> None:
    """What a worker would do. Claims and fences make it harmless beside one that does come."""
    for saga_id in map(uuid.UUID, saga_ids):
        operations.wake(saga_id=saga_id)
        engine.resume(saga_id)


CHECK = Check(
    name="stuck_sagas",
    means=_("No open saga is without a worker, a retry to come or a person to look at it."),
    sql=SQL,
    fix=carry_on,
)

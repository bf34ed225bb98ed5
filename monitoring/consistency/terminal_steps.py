"""A saga that is over has nothing left to do: no retry is waiting, no call is in doubt, nothing half undone.

A failed saga may keep a call in doubt: that is why a person must look at it.
"""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT DISTINCT s.id::text AS id
FROM saga_instances s LEFT JOIN saga_steps t ON t.saga_id = s.id
WHERE s.created_at >= %(since)s AND s.status IN ('completed', 'compensated', 'failed')
  AND (t.id IS NULL
    OR t.next_retry_at IS NOT NULL
    OR (t.in_doubt AND s.status <> 'failed')
    OR (t.status <> 'completed' AND s.status = 'completed')
    OR (t.status = 'completed' AND s.status = 'compensated'))
"""

CHECK = Check(
    name="terminal_steps",
    means=_("A saga that is over has no step that waits, is in doubt or was not undone."),
    sql=SQL,
)

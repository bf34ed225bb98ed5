"""Events leave within seconds. Old ones mean that the relay or what it delivers to is down."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT event_id::text AS id FROM outbox_events
WHERE published_at IS NULL AND created_at < now() - make_interval(mins => 5)
UNION
SELECT event_id::text FROM outbox_events
WHERE fanned_out_at IS NULL AND created_at < now() - make_interval(mins => 5)
"""

CHECK = Check(
    name="outbox_drained",
    means=_("No event has waited for more than five minutes to leave."),
    sql=SQL,
)

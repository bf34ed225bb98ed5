"""Checks of the outbox."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

# Events leave within seconds, so old ones mean that the relay or its target is down.
OUTBOX_DRAINED = IntegrityCheck(
    "outbox_drained",
    _("No event has waited for more than five minutes to be sent."),
    """
    SELECT event_id::text AS id FROM outbox_events
    WHERE published_at IS NULL AND created_at < now() - make_interval(mins => 5)
    UNION
    SELECT event_id::text FROM outbox_events
    WHERE fanned_out_at IS NULL AND created_at < now() - make_interval(mins => 5)
    """,
)

# A retried payment and a refund whose outcome the channel corrected later may repeat an event.
EVENTS_ONCE = IntegrityCheck(
    "events_once",
    _("Each event of a payment or refund exists once."),
    """
    SELECT o.ordering_key AS id, o.type || ' ' || count(*) || ' times' AS detail
    FROM outbox_events o
    LEFT JOIN refunds r ON r.id = o.subject_id
    WHERE o.created_at >= %(since)s AND (o.type LIKE 'payment.%%' OR o.type LIKE 'refund.%%')
      AND r.contradicted_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM payment_attempts t WHERE t.payment_id = o.subject_id AND t.opened_by IS NOT NULL)
    GROUP BY o.ordering_key, o.subject_id, o.type HAVING count(*) > 1
    """,
)

CHECKS = (OUTBOX_DRAINED, EVENTS_ONCE)

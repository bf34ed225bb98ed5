"""Checks of merchants."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

# Keys are revoked but never deleted, so the two keys that a merchant began with stay for ever.
MERCHANT_KEYS = IntegrityCheck(
    "merchant_keys",
    _("Every merchant has a test key and a live key."),
    """
    SELECT m.id::text AS id
    FROM merchants m LEFT JOIN api_keys k ON k.merchant_id = m.id
    WHERE m.created_at >= %(since)s
    GROUP BY m.id
    HAVING count(*) FILTER (WHERE k.environment = 'test') = 0
        OR count(*) FILTER (WHERE k.environment = 'live') = 0
    """,
)

CHECKS = (MERCHANT_KEYS,)

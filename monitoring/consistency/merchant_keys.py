"""Keys are never deleted, only revoked: the two a merchant began with are there for ever."""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT m.id::text AS id
FROM merchants m LEFT JOIN api_keys k ON k.merchant_id = m.id
WHERE m.created_at >= %(since)s
GROUP BY m.id
HAVING count(*) FILTER (WHERE k.environment = 'test') = 0
    OR count(*) FILTER (WHERE k.environment = 'live') = 0
"""

CHECK = Check(
    name="merchant_keys",
    means=_("Every merchant has a test key and a live key."),
    sql=SQL,
)

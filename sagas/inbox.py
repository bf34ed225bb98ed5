"""What has been delivered to a saga and not taken up yet."""

import json
import uuid

from django.db import connection

from sagas.outcomes import Json

_TAKE = """
UPDATE saga_signals SET taken_at = now(), taken_by = %s
WHERE id = (SELECT id FROM saga_signals WHERE saga_id = %s AND name = %s AND taken_at IS NULL ORDER BY id LIMIT 1)
RETURNING payload
"""


def take(*, saga_id: uuid.UUID, name: str, step_name: str) -> Json | None:
    """The payload of the oldest one of that name, marked as taken. It stays taken only if the commit boundary that
    it is part of stands, and that is fenced."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [step_name, saga_id, name])
        row = cursor.fetchone()
    if row is None:
        return None
    # Django registers a psycopg loader that leaves jsonb as text for its JSONField to decode.
    payload: Json = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    return payload

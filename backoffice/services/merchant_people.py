"""The people and keys that act for a merchant. It has no users here: its programs use API keys, and staff act on its
behalf. The audit log has their actions."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from audit.action_types import StaffActionType

MAX_ACTIONS: Final = 20  # the newest of each object that are read
MAX_SHOWN: Final = 20
# The objects of a merchant are few, and each is one range of the index staff_action_by_object.
PEOPLE: Final = """
WITH objects AS (
    SELECT %(merchant)s::text AS id
    UNION ALL
    (SELECT id::text FROM api_keys WHERE merchant_id = %(merchant)s AND environment = ANY(%(environments)s)
     ORDER BY id DESC LIMIT 50)
    UNION ALL
    (SELECT id::text FROM channel_accounts WHERE merchant_id = %(merchant)s AND environment = ANY(%(environments)s)
     ORDER BY id DESC LIMIT 50)
    UNION ALL
    (SELECT id::text FROM webhook_endpoints WHERE merchant_id = %(merchant)s AND environment = ANY(%(environments)s)
     ORDER BY id DESC LIMIT 50)
    UNION ALL
    (SELECT id::text FROM payout_bank_accounts WHERE merchant_id = %(merchant)s AND environment = ANY(%(environments)s)
     ORDER BY id DESC LIMIT 50)
), last_actions AS (
    SELECT DISTINCT ON (actor) newest.actor, newest.action, newest.created_at
    FROM objects CROSS JOIN LATERAL (
        SELECT id, actor, action, created_at FROM staff_actions
        WHERE object_id = objects.id ORDER BY id DESC LIMIT %(actions)s
    ) AS newest
    WHERE newest.action <> %(view)s
    ORDER BY actor, newest.id DESC
)
SELECT last_actions.actor, coalesce(api_keys.hint, ''), last_actions.action, last_actions.created_at
FROM last_actions LEFT JOIN api_keys ON api_keys.id =
    CASE WHEN last_actions.actor LIKE 'api\\_key:%%' THEN substr(last_actions.actor, 9)::uuid END
ORDER BY last_actions.created_at DESC LIMIT %(shown)s
"""


@dataclass(frozen=True, slots=True)
class ActingPerson:
    """A member of staff, or with `key_hint` a key of the merchant, and the last action on what belongs to it."""

    actor: str
    key_hint: str
    last_action: str
    last_action_at: dt.datetime


def list_acting_people(*, merchant_id: UUID, environments: Collection[str]) -> list[ActingPerson]:
    """The newest first. Opening the page of a key is no action."""
    given: dict[str, Any] = {
        "merchant": merchant_id,
        "environments": list(environments),
        "actions": MAX_ACTIONS,
        "view": StaffActionType.KEY_VIEWED.value,
        "shown": MAX_SHOWN,
    }
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, given)
        return [ActingPerson(*row) for row in cursor.fetchall()]

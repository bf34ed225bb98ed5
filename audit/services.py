"""Writes entries of the audit log, in the transaction of the staff action."""

from collections.abc import Mapping
from typing import Any

import structlog
from django.db import connection, transaction

from audit.action_types import ObjectType, StaffActionType
from audit.models import StaffAction

log = structlog.get_logger(__name__)


def record(
    *,
    actor: str,
    action: StaffActionType,
    object_type: ObjectType,
    object_id: str,
    reason: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> StaffAction:
    """Writes one entry. `before` and `after` are exported: put nothing secret into them."""
    assert connection.in_atomic_block, "a staff action is recorded in its own transaction"
    return StaffAction.objects.create(
        actor=actor,
        action=action,
        object_type=object_type,
        object_id=object_id,
        reason=reason,
        before=dict(before or {}),
        after=dict(after or {}),
    )


def record_view(*, actor: str, action: StaffActionType, object_type: ObjectType, object_id: str) -> None:
    """Records that somebody opened the page of an object that has a secret, even if the page does not show it."""
    with transaction.atomic():
        record(
            actor=actor,
            action=action,
            object_type=object_type,
            object_id=object_id,
            reason="",
        )
    log.info("staff.viewed", actor=actor, object_type=object_type, object_id=object_id)

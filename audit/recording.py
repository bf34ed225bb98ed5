"""One transaction for a staff action and its entry in the audit log."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from audit.action_types import ObjectType, StaffActionType
from audit.services import record


@dataclass(slots=True)
class AuditEntry:
    """The part of the entry that the block may only know at its end. It is exported: nothing secret belongs here."""

    object_id: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def recording(
    action: StaffActionType,
    object_type: ObjectType,
    object_id: object = "",
    *,
    actor: str,
    reason: str,
    before: Mapping[str, Any] | None = None,
    durable: bool = False,
) -> Iterator[AuditEntry]:
    """Runs the block in a transaction and writes the audit log entry as the last statement of that transaction.

    The block sets `after`, and `before` or `object_id` where they are not known earlier. If the block raises, neither
    the change nor the entry is stored. `durable` refuses to run inside another transaction: for a block after which a
    channel is called.
    """
    entry = AuditEntry(str(object_id), before or {})
    with transaction.atomic(durable=durable):
        yield entry
        record(
            actor=actor,
            action=action,
            object_type=object_type,
            object_id=entry.object_id,
            reason=reason,
            before=entry.before,
            after=entry.after,
        )

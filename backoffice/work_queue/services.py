"""Assigns, snoozes and annotates items of the work queue. Each change is one row and one entry in the audit log."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import StaffActionType
from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import OpenItem, QueueFilter, list_open_items
from common.errors import OperationRefused

MAX_SNOOZE: Final = dt.timedelta(days=30)
MAX_NOTE_LENGTH: Final = 2000
# The audit log has these by their id.
BY_ID: Final = (ItemKind.SAGA, ItemKind.ENDPOINT, ItemKind.PAYOUT_RUN, ItemKind.BANK_ACCOUNT)

# The row changes only if its assignee is still the one that the person saw.
_ASSIGN = """
INSERT INTO work_items (kind, object_id, assignee) VALUES (%(kind)s, %(object_id)s, %(assignee)s)
ON CONFLICT (kind, object_id) DO UPDATE SET assignee = excluded.assignee WHERE work_items.assignee = %(seen)s
"""
_SNOOZE = """
INSERT INTO work_items (kind, object_id, snoozed_until, snoozed_at)
VALUES (%(kind)s, %(object_id)s, clock_timestamp() + %(length)s, clock_timestamp())
ON CONFLICT (kind, object_id) DO UPDATE
SET snoozed_until = excluded.snoozed_until, snoozed_at = excluded.snoozed_at
"""
_WAKE = """
UPDATE work_items SET snoozed_until = NULL, snoozed_at = NULL WHERE kind = %(kind)s AND object_id = %(object_id)s
"""
_NOTE = """
INSERT INTO work_items (kind, object_id, note, noted_by, noted_at)
VALUES (%(kind)s, %(object_id)s, %(note)s, %(actor)s, clock_timestamp())
ON CONFLICT (kind, object_id) DO UPDATE
SET note = excluded.note, noted_by = excluded.noted_by, noted_at = excluded.noted_at
"""


@dataclass(frozen=True, slots=True)
class ItemReference:
    """`assignee`: the one that the person saw."""

    kind: ItemKind
    object_id: UUID
    assignee: str = ""


def assign_items(*, items: Sequence[ItemReference], assignee: str, actor: str, note: str = "") -> list[str]:
    """Assigns the items to a person, or to nobody when `assignee` is empty. Returns the numbers of the items that
    another person has taken meanwhile: they stay as they are. Items that are settled are left out.

    Raises `OperationRefused`.
    """
    _check_note(note)
    if assignee and not User.objects.filter(username=assignee, is_active=True, is_staff=True).exists():
        raise OperationRefused(_("There is no active account %(name)s.") % {"name": assignee})
    taken = []
    seen = {(item.kind, item.object_id): item.assignee for item in items}
    with transaction.atomic():
        for item in _still_open(items):
            before = seen[item.kind, item.object_id]
            if not _execute(_ASSIGN, item, assignee=assignee, seen=before):
                taken.append(item.number)
                continue
            _record(
                item,
                StaffActionType.WORK_ITEM_ASSIGN,
                actor,
                note,
                {"assignee": before},
                {"assignee": assignee},
            )
            _save_note(item, actor, note)
    return taken


def snooze_items(*, items: Sequence[ItemReference], length: dt.timedelta, actor: str, note: str = "") -> int:
    """Hides the items for this time; a length of zero shows them again. Returns how many were changed.

    Raises `OperationRefused`.
    """
    _check_note(note)
    if not dt.timedelta() <= length <= MAX_SNOOZE:
        raise OperationRefused(_("Snooze for at most %(days)d days.") % {"days": MAX_SNOOZE.days})
    found = _still_open(items)
    with transaction.atomic():
        for item in found:
            _execute(_SNOOZE if length else _WAKE, item, length=length)
            before = item.snoozed_until.isoformat() if item.snoozed_until else ""
            after = {"snoozed_seconds": int(length.total_seconds())}
            _record(item, StaffActionType.WORK_ITEM_SNOOZE, actor, note, {"snoozed_until": before}, after)
            _save_note(item, actor, note)
    return len(found)


def add_note(*, items: Sequence[ItemReference], actor: str, note: str) -> int:
    """Replaces the note that the queue shows; earlier ones stay in the audit log. Returns how many were changed.

    Raises `OperationRefused`.
    """
    _check_note(note)
    if not note.strip():
        raise OperationRefused(_("Write a note."))
    found = _still_open(items)
    with transaction.atomic():
        for item in found:
            _record(item, StaffActionType.WORK_ITEM_NOTE, actor, note, {"note": item.note}, {"note": note})
            _save_note(item, actor, note)
    return len(found)


def _check_note(note: str) -> None:
    if len(note) > MAX_NOTE_LENGTH or "\0" in note:
        raise OperationRefused(_("A note has at most %(count)d characters.") % {"count": MAX_NOTE_LENGTH})


def _still_open(items: Sequence[ItemReference]) -> list[OpenItem]:
    """In the order of their keys: two people who change the same items wait for each other instead of deadlocking."""
    wanted = {(item.kind, item.object_id) for item in items}
    if not wanted:
        return []
    chosen = QueueFilter(
        {kind for kind, _object_id in wanted},
        is_snoozed=None,
        object_ids=[object_id for _kind, object_id in wanted],
    )
    found = [item for item in list_open_items(chosen) if (item.kind, item.object_id) in wanted]
    return sorted(found, key=lambda item: (item.kind, item.object_id))


def _execute(statement: str, item: OpenItem, **values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"kind": item.kind.value, "object_id": item.object_id, **values})
        changed: int = cursor.rowcount
        return changed


def _save_note(item: OpenItem, actor: str, note: str) -> None:
    if note.strip():
        _execute(_NOTE, item, note=note, actor=actor)


def _record(
    item: OpenItem,
    action: StaffActionType,
    actor: str,
    note: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    """Under the object's number, by which the payment's timeline finds changes of its reviews, refunds and approvals.
    A saga, an endpoint, a payout run and a bank account go by their id."""
    has_number = item.kind not in BY_ID
    audit.record(
        actor=actor,
        action=action,
        object_type=item.object_type,
        object_id=item.number if has_number else str(item.object_id),
        reason=note,
        before=before,
        after={"item": f"{item.kind.value} {item.object_id}", **after},
    )

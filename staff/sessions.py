"""Lists the open sessions of staff and ends them."""

import datetime as dt
import uuid
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.errors import OperationRefused, UnknownObject
from common.origin import current_address
from staff.models import StaffSession
from staff.session_store import SessionStore, hash_session_key
from staff.superusers import refuse_superuser

# How exact "last seen" is: not every page writes a row.
SEEN_AGAIN = dt.timedelta(minutes=5)
# The first that is found counts: Edge and Opera name Chrome too, and Chrome names Safari.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {
    "iPhone": "iOS",
    "iPad": "iPadOS",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


@dataclass(frozen=True, slots=True)
class OpenSession:
    """`id` is not the key with which the browser proves the session."""

    id: uuid.UUID
    started_at: dt.datetime
    last_seen_at: dt.datetime
    address: str
    browser: str
    is_current: bool


def list_open_sessions(*, user: User, current_key: str | None = None) -> list[OpenSession]:
    """The one that was used last comes first."""
    current_hash = hash_session_key(current_key) if current_key else ""
    return [
        OpenSession(
            id=row.public_id,
            started_at=row.started_at,
            last_seen_at=row.last_seen_at,
            address=row.address or "",
            browser=describe_browser(row.user_agent),
            is_current=row.session_key == current_hash,
        )
        for row in _open_sessions(user).order_by("-last_seen_at", "public_id")
    ]


def describe_browser(user_agent: str) -> str:
    """Returns `Firefox on Windows`. The browser says it about itself: it is a help to recognize, and no proof."""
    browser = next((name for mark, name in BROWSERS.items() if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS.items() if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown browser")


def end_session(*, user: User, session_id: uuid.UUID, actor: str, reason: str = "") -> None:
    """Raises `UnknownObject` if the person has no such session, and `OperationRefused` (`_check_may_end`)."""
    _check_may_end(user, actor, reason)
    with recording(
        StaffActionType.SESSION_ENDED, ObjectType.STAFF, user.get_username(), actor=actor, reason=reason
    ) as entry:
        row = _open_sessions(user).select_for_update().filter(public_id=session_id).first()
        if row is None:
            raise UnknownObject(_("This session has ended already."))
        row.delete()
        entry.after = {"browser": row.user_agent, "address": row.address}


def end_all_sessions(*, user: User, actor: str, reason: str = "", except_key: str | None = None) -> int:
    """Returns how many sessions ended. `except_key`: the actor's own. Raises `OperationRefused` (`_check_may_end`)."""
    _check_may_end(user, actor, reason)
    with recording(
        StaffActionType.SESSIONS_ENDED, ObjectType.STAFF, user.get_username(), actor=actor, reason=reason
    ) as entry:
        ended = delete_sessions(user, except_key=except_key)
        entry.after = {"ended": ended}
    return ended


def _check_may_end(user: User, actor: str, reason: str) -> None:
    """The sessions of another person need a reason, and those of a superuser end in the terminal only."""
    if actor == user.get_username():
        return
    refuse_superuser(user)
    if not reason:
        raise OperationRefused(_("Give a reason."))


def delete_sessions(user: User, *, except_key: str | None = None) -> int:
    """For changes of access that are in the audit log themselves. Runs in the caller's transaction."""
    kept_hash = hash_session_key(except_key) if except_key else ""
    deleted, _by_model = _open_sessions(user).exclude(session_key=kept_hash).delete()
    return deleted


def record_use(session: SessionStore) -> None:
    """Remembers, every five minutes, that the session is used, and from where."""
    row: StaffSession | None = session.row
    if row is not None and timezone.now() - row.last_seen_at > SEEN_AGAIN:
        StaffSession.objects.filter(pk=row.pk).update(last_seen_at=Now(), address=current_address())


def _open_sessions(user: User) -> QuerySet[StaffSession]:
    return StaffSession.objects.filter(user=user, expire_date__gt=timezone.now())

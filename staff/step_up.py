"""Step-up: before a sensitive action, the second factor must have been checked in this session within
`STAFF_STEP_UP_SECONDS`. So an open browser, or a stolen session, is not enough.

An own factor is checked by a code or a passkey. For an account that only uses single sign-on, the provider checks the
person again (`prompt=login` and `max_age=0`); only its `auth_time` proves that it did (OpenID Connect Core 1.0, section
3.1.2.1), so a provider that does not send it needs `STAFF_STEP_UP_SECONDS=0`.
"""

import time
from collections.abc import MutableMapping
from typing import Any, Final

from django.conf import settings

from staff.roles import Permission

# Who may approve, get at keys or accounts, or redirect payouts.
SENSITIVE: Final = frozenset(
    {
        Permission.APPROVE,
        Permission.MANAGE_KEYS,
        Permission.MANAGE_STAFF,
        Permission.MANAGE_PAYOUTS,
        Permission.MANAGE_CHANNEL_ACCOUNTS,
    }
)
CHECKED_AT: Final = "second_factor_checked_at"  # seconds since 1970

Session = MutableMapping[str, Any]


def is_step_up_needed(session: Session, permission: Permission) -> bool:
    if not settings.STAFF_OTP_REQUIRED or not settings.STAFF_STEP_UP_SECONDS or permission not in SENSITIVE:
        return False
    return bool(time.time() - session.get(CHECKED_AT, 0) > settings.STAFF_STEP_UP_SECONDS)


def record_check(session: Session, *, checked_at: float | None = None) -> None:
    """Remembers that the second factor was checked, now or at that time."""
    session[CHECKED_AT] = time.time() if checked_at is None else min(checked_at, time.time())

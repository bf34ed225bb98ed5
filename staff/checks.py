"""Refuses to start where staff could get in with a password alone."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def second_factor_where_money_is_real(**_kwargs: Any) -> list[CheckMessage]:
    if settings.STAFF_OTP_REQUIRED or settings.DEBUG or settings.LOCAL_STACK:
        return []
    return [
        Error(
            "STAFF_OTP_REQUIRED=0 lets anyone with a password of staff move money.",
            hint="Unset STAFF_OTP_REQUIRED. On a laptop, set LOCAL_STACK=1.",
            id="access.E001",
        )
    ]

"""System check: refuses to start in production without a second factor for staff."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_second_factor_required(**_kwargs: Any) -> list[CheckMessage]:
    if settings.STAFF_OTP_REQUIRED or settings.DEBUG or settings.LOCAL_STACK:
        return []
    return [
        Error(
            "STAFF_OTP_REQUIRED=0 lets staff move money with a password alone.",
            hint="Unset STAFF_OTP_REQUIRED. On a laptop, set LOCAL_STACK=1.",
            id="access.E001",
        )
    ]

"""System checks: refuse to start with unsafe settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_demo_is_local(**_kwargs: Any) -> list[CheckMessage]:
    """Refuses PAYMENT_DEMO outside the local stack: the quick start's key is public."""
    if not settings.PAYMENT_DEMO or settings.DEBUG or settings.LOCAL_STACK:
        return []
    return [
        Error(
            "PAYMENT_DEMO=1 lets anyone in with the public key of the documentation.",
            hint="Unset PAYMENT_DEMO. On a laptop, set LOCAL_STACK=1.",
            id="merchants.E001",
        )
    ]

"""Refuses to start with settings that would let strangers in."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def demo_only_on_the_local_stack(**_kwargs: Any) -> list[CheckMessage]:
    """The quick start's key is printed in the documentation: where money is real it must not exist."""
    if not settings.PAYMENT_DEMO or settings.DEBUG or settings.LOCAL_STACK:
        return []
    return [
        Error(
            "PAYMENT_DEMO=1 lets anyone in with the key that the documentation prints.",
            hint="Unset PAYMENT_DEMO. On a laptop, set LOCAL_STACK=1.",
            id="merchants.E001",
        )
    ]

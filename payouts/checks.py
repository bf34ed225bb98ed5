"""System check: a platform that may not hold merchants' money has no channel account of its own for live payments."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from channels import registry
from channels.registry import ChannelNotAvailable


def check_own_accounts_only(**_kwargs: Any) -> list[CheckMessage]:
    """A payment at the platform's own account would be held for its merchant."""
    if settings.HOLDS_MERCHANT_FUNDS:
        return []
    return [
        Error(
            f"HOLDS_MERCHANT_FUNDS=0, but the platform's own live account at {name} would take merchants' payments.",
            hint="Remove the channel's live credentials from the settings: merchants add accounts of their own. "
            "docs/PAYOUTS.md says why.",
            id="payouts.E001",
        )
        for name in registry.list_channel_names()
        if _is_set_up(name)
    ]


def _is_set_up(name: str) -> bool:
    try:
        registry.get_channel(name, "live")
    except ChannelNotAvailable:
        return False
    return True

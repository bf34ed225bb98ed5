"""System checks of the settings of payouts. They read no table: an account that staff have added is refused where a
payment chooses its account (`channel_accounts/serving.py`)."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from stdnum import bic, iban

from channels import registry
from channels.registry import ChannelNotAvailable


def check_own_accounts_only(**_kwargs: Any) -> list[CheckMessage]:
    """A payment at the platform's own account of the settings would be held for its merchant."""
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


def check_debtor(**_kwargs: Any) -> list[CheckMessage]:
    """A wrong account would make a file that the bank refuses, after the run was approved."""
    given = {
        "PAYOUT_DEBTOR_IBAN": (settings.PAYOUT_DEBTOR_IBAN, iban),
        "PAYOUT_DEBTOR_BIC": (settings.PAYOUT_DEBTOR_BIC, bic),
    }
    found: list[CheckMessage] = [
        Error(f"{name} is not valid.", hint="Compare it with a statement of the bank.", id="payouts.E002")
        for name, (value, standard) in given.items()
        if value and not (value.isascii() and standard.is_valid(value) and standard.compact(value) == value)
    ]
    if settings.PAYOUT_DEBTOR_IBAN and not settings.PAYOUT_DEBTOR_NAME:
        found.append(
            Error(
                "PAYOUT_DEBTOR_IBAN is set, and PAYOUT_DEBTOR_NAME is not.",
                hint="The bank wants the name of the account that pays.",
                id="payouts.E003",
            )
        )
    return found

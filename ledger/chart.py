"""The chart of accounts, and the identity of an account (docs/LEDGER.md)."""

import functools
import uuid
from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

# Fixed for ever: the ids of all accounts derive from it.
_NAMESPACE = uuid.UUID("5d8a3b1e-6f0c-5c7e-9a54-1f6d2b9c7e10")


class LedgerAccountKind(models.TextChoices):
    CHANNEL_RECEIVABLE = "channel_receivable", _("Channel receivable")
    MERCHANT_PAYABLE = "merchant_payable", _("Merchant payable")
    REFUNDS = "refunds", _("Refunds")
    DISPUTES = "disputes", _("Disputes")
    APPLICATION_FEES = "application_fees", _("Application fees")
    PLATFORM_FEES = "platform_fees", _("Platform fees")
    FEE_INCOME = "fee_income", _("Fee income")
    CHANNEL_FEES = "channel_fees", _("Channel fees")
    SUSPENSE = "suspense", _("Suspense")
    ROUNDING = "rounding", _("Rounding")
    PLATFORM_BANK = "platform_bank", _("Bank account of the platform")
    WRITE_OFFS = "write_offs", _("Write-offs")
    PAYOUTS = "payouts", _("Payouts")


# A merchant's balance is the sum of these: what is payable, less refunds, disputes, fees and payouts.
MERCHANT_KINDS = (
    LedgerAccountKind.MERCHANT_PAYABLE,
    LedgerAccountKind.REFUNDS,
    LedgerAccountKind.DISPUTES,
    LedgerAccountKind.APPLICATION_FEES,
    LedgerAccountKind.PLATFORM_FEES,
    LedgerAccountKind.PAYOUTS,
)
# The fees among them.
FEE_KINDS = (LedgerAccountKind.APPLICATION_FEES, LedgerAccountKind.PLATFORM_FEES)


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """One account: a kind in one environment and currency, at one channel account. `merchant_id` is None for the
    platform's own accounts; `channel_account_id` is None for the platform's own account at the channel."""

    kind: LedgerAccountKind
    environment: str
    currency: str
    merchant_id: uuid.UUID | None
    channel: str
    channel_account_id: uuid.UUID | None

    @property
    def id(self) -> uuid.UUID:
        return _derive_id(self)


def build_bank_account(environment: str, currency: str) -> AccountIdentity:
    """The platform's bank account, which no channel holds. Channels pay to it, and merchants are paid from it."""
    return AccountIdentity(LedgerAccountKind.PLATFORM_BANK, environment, currency, None, "", None)


@functools.lru_cache(maxsize=10_000)
def _derive_id(account: AccountIdentity) -> uuid.UUID:
    """The same account has the same id everywhere, so a posting knows it without reading."""
    parts = (
        account.kind.value,
        account.environment,
        account.currency,
        str(account.merchant_id or ""),
        account.channel,
        str(account.channel_account_id or ""),
    )
    return uuid.uuid5(_NAMESPACE, "|".join(parts))

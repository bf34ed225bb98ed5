"""Adds agreed fees. They are never edited: a newer one replaces an older one from its first day on."""

import datetime as dt
import uuid

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channel_accounts.models import StoredChannelAccount
from common.errors import FieldsRefused
from common.money import EXPONENTS
from settlements.models import ChannelFeeRate


def add_fee_rate(
    *,
    channel: str,
    environment: str,
    channel_account: uuid.UUID | None,
    kind: str,
    currency: str,
    rate_millionths: int,
    fixed_minor: int,
    valid_from: dt.date,
    actor: str,
    reason: str,
) -> ChannelFeeRate:
    """Raises `FieldsRefused`."""
    if currency not in EXPONENTS:
        raise FieldsRefused({"currency": _("The currency is unknown.")})
    accounts = StoredChannelAccount.objects.filter(channel=channel, environment=environment)
    if channel_account is not None and not accounts.filter(id=channel_account).exists():
        raise FieldsRefused({"channel_account": _("The channel has no such account.")})
    identity = {
        "channel": channel,
        "environment": environment,
        "channel_account_id": channel_account,
        "kind": kind,
        "currency": currency,
        "valid_from": valid_from,
    }
    with recording(
        StaffActionType.FEE_RATE_ADD, ObjectType.CHANNEL_FEE_RATE, actor=actor, reason=reason
    ) as entry:
        if ChannelFeeRate.objects.filter(**identity).exists():
            raise FieldsRefused({"valid_from": _("A fee was agreed from this day on.")})
        rate: ChannelFeeRate = ChannelFeeRate.objects.create(
            **identity, rate_millionths=rate_millionths, fixed_minor=fixed_minor
        )
        entry.object_id = str(rate.id)
        entry.after = {
            **{name: str(value) for name, value in identity.items()},
            "rate_millionths": rate_millionths,
            "fixed_minor": fixed_minor,
        }
    return rate

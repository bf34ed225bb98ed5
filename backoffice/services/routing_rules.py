"""Changes of routing rules by staff, each in one transaction with its audit log entry.

A rule is never edited. It is ended and another one is added, so that the audit log shows which rules were in force.
"""

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channel_accounts.models import StoredChannelAccount
from channels.registry import get_capabilities, list_channel_names
from common.errors import FieldsRefused, OperationRefused, UnknownObject
from common.money import EXPONENTS
from gateway.models import RoutingRule, RoutingStrategy
from merchants.models import Merchant


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """Empty fields match everything; an empty `channel_account` (an id) means that of the merchant or the platform.
    Amounts are in minor units of `currency`, and need one."""

    environment: str
    channel: str
    priority: int = 0
    weight: int = 1
    strategy: str = RoutingStrategy.WEIGHT
    merchant_email: str = ""
    channel_account: str = ""
    payment_method: str = ""
    currency: str = ""
    min_amount_minor: int | None = None
    max_amount_minor: int | None = None
    country: str = ""
    card_brand: str = ""
    card_bin: str = ""


def add(*, draft: RuleDraft, actor: str, reason: str) -> RoutingRule:
    """Raises `FieldsRefused` and `OperationRefused`."""
    _require_actor_and_reason(actor, reason)
    rule = _build_rule(draft)
    with recording(StaffActionType.ROUTING_ADD, ObjectType.ROUTING_RULE, actor=actor, reason=reason) as entry:
        rule.save(force_insert=True)
        entry.object_id, entry.after = str(rule.pk), asdict(draft)
    return rule


def _build_rule(draft: RuleDraft) -> RoutingRule:
    """Raises `FieldsRefused`."""
    fields: dict[str, Any] = asdict(draft)
    email, account_id = fields.pop("merchant_email"), fields.pop("channel_account")
    merchant = Merchant.objects.filter(email=email).first() if email else None
    wrong = _find_wrong_fields(draft)
    if email and merchant is None:
        wrong["merchant_email"] = _("There is no merchant with the e-mail %s.") % email
    account = _find_account(account_id)
    if account_id:
        reason = _find_account_obstacle(account, draft, merchant)
        wrong |= {"channel_account": reason} if reason else {}
    rule = RoutingRule(merchant=merchant, channel_account=account, **fields)
    try:
        rule.full_clean()
    except ValidationError as error:
        for field, details in error.error_dict.items():
            for detail in details:
                # The code of a violated constraint is the field that it is about.
                name = str(detail.code) if field == NON_FIELD_ERRORS else field
                wrong.setdefault(name, " ".join(detail.messages))
    if wrong:
        raise FieldsRefused(wrong)
    return rule


def _find_account(account_id: str) -> StoredChannelAccount | None:
    try:
        return StoredChannelAccount.objects.filter(id=uuid.UUID(account_id)).first() if account_id else None
    except ValueError:
        return None


def _find_account_obstacle(
    account: StoredChannelAccount | None, draft: RuleDraft, merchant: Merchant | None
) -> str:
    """Returns the reason why the rule cannot name this account; empty when it can."""
    if account is None:
        return _("There is no such channel account.")
    if account.channel != draft.channel:
        return _("This is an account at %(channel)s.") % {"channel": account.channel}
    if account.environment != draft.environment:
        return _("This account is for %(environment)s.") % {"environment": account.environment}
    if account.merchant_id is not None and (merchant is None or account.merchant_id != merchant.id):
        return _("This is the account of a merchant: name that merchant in the rule.")
    return ""


def _find_wrong_fields(draft: RuleDraft) -> dict[str, str]:
    """Checks the rules that no constraint of the table can."""
    wrong = {}
    if draft.channel not in list_channel_names():
        wrong["channel"] = _("There is no channel %(channel)s. Choose one of: %(known)s.") % {
            "channel": draft.channel,
            "known": ", ".join(list_channel_names()),
        }
    elif draft.payment_method and not get_capabilities(draft.channel).get_method(draft.payment_method):
        names = ", ".join(method.name for method in get_capabilities(draft.channel).methods)
        text = _("Channel %(channel)s does not offer this method. It offers: %(methods)s.")
        wrong["payment_method"] = text % {"channel": draft.channel, "methods": names}
    if draft.currency and draft.currency not in EXPONENTS:
        wrong["currency"] = _("The currency %s is not known.") % draft.currency
    return wrong


def end(*, rule_id: int, actor: str, reason: str) -> None:
    """Stops the rule from matching new payments; the payments that it routed stay. Raises `OperationRefused`."""
    _require_actor_and_reason(actor, reason)
    with recording(
        StaffActionType.ROUTING_END,
        ObjectType.ROUTING_RULE,
        rule_id,
        actor=actor,
        reason=reason,
        before={"is_active": True},
    ) as entry:
        ended = RoutingRule.objects.filter(pk=rule_id, is_active=True).update(is_active=False)
        if not ended:
            raise UnknownObject(_("There is no rule %s in force.") % rule_id)
        entry.after = {"is_active": False}


def _require_actor_and_reason(actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise OperationRefused(_("Give your name and a reason."))

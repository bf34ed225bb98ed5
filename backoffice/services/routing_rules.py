"""Changes of routing rules by staff, each in one transaction with its audit log entry.

A rule is never edited. It is ended and another one is added, so that the audit log shows which rules were in force.
"""

from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from channels.registry import list_channel_names
from common.errors import OperationRefused, UnknownObject
from common.money import EXPONENTS
from gateway.models import RoutingRule
from merchants.models import Merchant


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """Empty fields match everything. Amounts are in minor units of `currency`, and need one."""

    environment: str
    channel: str
    priority: int = 0
    weight: int = 1
    merchant_email: str = ""
    currency: str = ""
    min_amount_minor: int | None = None
    max_amount_minor: int | None = None


def add(*, draft: RuleDraft, actor: str, reason: str) -> RoutingRule:
    """Raises `OperationRefused`."""
    _require_actor_and_reason(actor, reason)
    if draft.channel not in list_channel_names():
        raise OperationRefused(
            _("There is no channel %(channel)s. Choose one of: %(known)s.")
            % {"channel": draft.channel, "known": ", ".join(list_channel_names())}
        )
    if draft.currency and draft.currency not in EXPONENTS:
        raise OperationRefused(_("The currency %s is not known.") % draft.currency)
    fields: dict[str, Any] = asdict(draft)
    email = fields.pop("merchant_email")
    merchant = Merchant.objects.filter(email=email).first() if email else None
    if email and merchant is None:
        raise OperationRefused(_("There is no merchant with the e-mail %s.") % email)
    rule = RoutingRule(merchant=merchant, **fields)
    try:
        rule.full_clean()
    except ValidationError as error:
        raise OperationRefused(" ".join(error.messages)) from error
    with recording(StaffActionType.ROUTING_ADD, ObjectType.ROUTING_RULE, actor=actor, reason=reason) as entry:
        rule.save(force_insert=True)
        entry.object_id, entry.after = str(rule.pk), asdict(draft)
    return rule


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

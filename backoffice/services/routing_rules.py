"""Changes of routing rules by staff, each with its audit log entry in one transaction.

A rule is never edited: it is ended and another one is made, so that the audit tells which rules held when.
"""

from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
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
    _require_reason(actor, reason)
    if draft.channel not in list_channel_names():
        raise OperationRefused(
            _("There is no channel %(channel)s. Known are: %(known)s.")
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
    with transaction.atomic():
        rule.save(force_insert=True)
        audit.record(
            actor=actor,
            action=StaffActionType.ROUTING_ADD,
            object_type=ObjectType.ROUTING_RULE,
            object_id=str(rule.pk),
            reason=reason,
            after=asdict(draft),
        )
    return rule


def end(*, rule_id: int, actor: str, reason: str) -> None:
    """Payments that were routed by it stay where they are. Raises `OperationRefused`."""
    _require_reason(actor, reason)
    with transaction.atomic():
        ended = RoutingRule.objects.filter(pk=rule_id, is_active=True).update(is_active=False)
        if not ended:
            raise UnknownObject(_("There is no rule %s in force.") % rule_id)
        audit.record(
            actor=actor,
            action=StaffActionType.ROUTING_END,
            object_type=ObjectType.ROUTING_RULE,
            object_id=str(rule_id),
            reason=reason,
            before={"is_active": True},
            after={"is_active": False},
        )


def _require_reason(actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise OperationRefused(_("Say who you are and why you do it."))

"""Sets the payout plan of a merchant."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.errors import FieldsRefused
from common.time_zones import find_zone
from payouts.models import PayoutPlan
from payouts.services.runs import require_funds_held

PLAN_FIELDS = (
    "hold_days",
    "day_count",
    "time_zone",
    "reserve_basis_points",
    "reserve_days",
    "minimum_minor",
    "schedule",
    "schedule_day",
)


def set_plan(
    *, merchant_id: uuid.UUID, environment: str, values: Mapping[str, Any], actor: str, reason: str
) -> PayoutPlan:
    """Creates or changes the plan; a field that is not given keeps its value. Raises `FieldsRefused`."""
    require_funds_held()
    with recording(
        StaffActionType.PAYOUT_PLAN_SET, ObjectType.MERCHANT, merchant_id, actor=actor, reason=reason
    ) as entry:
        plan = (
            PayoutPlan.objects.select_for_update()
            .filter(merchant_id=merchant_id, environment=environment)
            .first()
        )
        if plan is None:
            plan = PayoutPlan(merchant_id=merchant_id, environment=environment)
        else:
            entry.before = _describe(plan)
        for name in PLAN_FIELDS:
            setattr(plan, name, values.get(name, getattr(plan, name)))
        _require_valid(plan)
        plan.updated_at = Now()
        plan.save()
        entry.after = _describe(plan)
    return plan


def _require_valid(plan: PayoutPlan) -> None:
    wrong = {}
    try:
        plan.full_clean(exclude=["merchant", "updated_at"], validate_constraints=False)
    except ValidationError as error:
        wrong = {field: " ".join(messages) for field, messages in error.message_dict.items()}
    if find_zone(plan.time_zone) is None:
        wrong["time_zone"] = _("There is no time zone “%(name)s”.") % {"name": plan.time_zone}
    if wrong:
        raise FieldsRefused(wrong)


def _describe(plan: PayoutPlan) -> dict[str, Any]:
    return {"environment": plan.environment, **{name: getattr(plan, name) for name in PLAN_FIELDS}}

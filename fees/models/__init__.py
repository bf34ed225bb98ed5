from fees.models.plans import FeePlan, FeePlanAssignment, FeePlanChange, FeePlanChangeState, FeePlanVersion
from fees.models.statements import MerchantStatement, StatementPeriod

__all__ = [
    "FeePlan",
    "FeePlanAssignment",
    "FeePlanChange",
    "FeePlanChangeState",
    "FeePlanVersion",
    "MerchantStatement",
    "StatementPeriod",
]

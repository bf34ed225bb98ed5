from fees.models.plans import FeePlan, FeePlanAssignment, FeePlanChange, FeePlanChangeState, FeePlanVersion

__all__ = ["FeePlan", "FeePlanAssignment", "FeePlanChange", "FeePlanChangeState", "FeePlanVersion"]

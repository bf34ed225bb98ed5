from payouts.models.bank_accounts import BankAccount, BankAccountKind, BankAccountStatus
from payouts.models.plans import DayCount, PayoutPlan, Schedule
from payouts.models.runs import Payout, PayoutFile, PayoutRun, PayoutRunStatus, PayoutStatus

__all__ = [
    "BankAccount",
    "BankAccountKind",
    "BankAccountStatus",
    "DayCount",
    "Payout",
    "PayoutFile",
    "PayoutPlan",
    "PayoutRun",
    "PayoutRunStatus",
    "PayoutStatus",
    "Schedule",
]

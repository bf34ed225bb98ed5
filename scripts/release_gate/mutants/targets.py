"""Which files are changed, and which tests judge the changes.

The judges are few and fast: a mutant that only another test would catch counts as a survivor, so that more tests could
only raise the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FORMULA = ("tests/fees/test_formula.py", "tests/fees/test_capture_fee.py")
CHARGING = ("tests/fees/test_capture_fee.py", "tests/fees/test_charging.py")
SAGA_RULES = ("tests/sagas/test_planner_rules.py", "tests/sagas/test_state.py")
LEDGER = ("tests/ledger/test_posted_legs.py",)
REFUNDS = ("tests/gateway/test_reserved_refunds.py",)
CAPTURES = ("tests/gateway/test_settled_captures.py",)
IDEMPOTENCY = ("tests/idempotency/test_claims.py",)


@dataclass(frozen=True, slots=True)
class Target:
    """`area` is what the file belongs to: every area needs the least score."""

    area: str
    file: str
    tests: Sequence[str]


TARGETS = (
    Target("money", "fees/formula.py", FORMULA),
    Target("money", "fees/charging.py", CHARGING),
    Target("money", "common/money.py", ("tests/common/test_money.py",)),
    Target("money", "ledger/postings.py", LEDGER),
    Target("money", "ledger/posting.py", LEDGER),
    Target("money", "ledger/payout_postings.py", LEDGER),
    Target("money", "ledger/statement_postings.py", LEDGER),
    Target("money", "gateway/state_machine/refunds.py", REFUNDS),
    Target("money", "gateway/state_machine/captures.py", CAPTURES),
    Target("sagas", "sagas/planner.py", SAGA_RULES),
    Target("sagas", "sagas/state.py", SAGA_RULES),
    Target("sagas", "sagas/outcomes.py", SAGA_RULES),
    Target("idempotency", "idempotency/services/claim.py", IDEMPOTENCY),
    Target("idempotency", "idempotency/services/claim_key.py", IDEMPOTENCY),
    Target("idempotency", "idempotency/services/finish_claim.py", IDEMPOTENCY),
    Target("idempotency", "idempotency/services/replay.py", IDEMPOTENCY),
    Target("idempotency", "idempotency/request.py", IDEMPOTENCY),
    Target("idempotency", "idempotency/cache.py", IDEMPOTENCY),
)

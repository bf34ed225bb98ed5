"""The types of integrity checks."""

from dataclasses import dataclass

from django.utils.functional import Promise

# The name by which a channel knows the payment `p`: the reference of its current attempt.
REFERENCE = "coalesce(nullif(p.channel_reference, ''), p.payment_no)"
# The simulator serves the payment `p`, so its ledger shows the money.
IS_SIMULATED = "p.environment = 'test' AND (p.sandbox OR p.channel = 'simulator')"


@dataclass(frozen=True, slots=True)
class IntegrityCheck:
    """A rule that the tables must satisfy after any sequence of events and crashes.

    `sql` selects the rows that break the rule, and none when all is well: the row's number as `id` and, where it says
    more than the check's name, what is wrong as `detail`. It may use:

        %(since)s           checks only what was created from then on, or has changed since; -infinity checks everything
        %(grace)s           seconds by which the platform may be behind a channel or behind its own schedule
        %(saga_retention)s  seconds for which a finished saga is kept at least
    """

    name: str
    meaning: Promise
    sql: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks the rule of a check."""

    check: str
    id: str
    detail: str = ""

    @property
    def row(self) -> str:
        return f"{self.id}: {self.detail}" if self.detail else self.id

    def __str__(self) -> str:
        return f"{self.check}: {self.row}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`count` is the number of violations after repairs; `fixed` is the number of violations that were repaired."""

    name: str
    means: str
    passed: bool
    count: int
    sample: tuple[str, ...]
    fixable: bool
    fixed: int
    seconds: float

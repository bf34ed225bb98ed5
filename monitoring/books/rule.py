"""What a rule of the books is."""

from dataclasses import dataclass

# What the bank knows the payment `p` by: its current attempt.
REFERENCE = "coalesce(nullif(p.channel_reference, ''), p.payment_no)"


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must be true of the tables after any run, whatever crashed on the way.

    `sql` selects the offenders as `id` and `what`, and nothing when all is well. It may use:

        %(since)s   only sagas, payments and bank entries from then on; -infinity looks at everything
        %(grace)s   seconds within which the platform and the bank may differ, because one hears of it later
    """

    name: str
    means: str
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that breaks a rule."""

    rule: str
    id: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.id}: {self.what}"

"""What a check is, and what it finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

# How many offenders a check fetches: enough to mend the usual accident in one run.
FETCHED = 1000
SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant that no sequence of events may break.

    `sql` selects the offenders' numbers as `id`, and nothing when all is well. It may use:

        %(since)s           only what was created from then on; -infinity looks at everything
        %(grace)s           seconds within which two places may differ, because one hears of it later
        %(saga_retention)s  seconds for which a finished saga is kept at least

    `fix` is given offenders. It exists only where mending can do no harm, whatever else happens meanwhile.
    """

    name: str
    means: Promise
    sql: str
    fix: Callable[[Sequence[str]], None] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """`count` is what is wrong now, after mending; `fixed` is how many were mended."""

    name: str
    means: str
    passed: bool
    count: int
    sample: tuple[str, ...]
    fixable: bool
    fixed: int
    seconds: float

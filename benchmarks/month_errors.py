"""Plants errors in what the channels report. Each must become exactly one case of its kind, and nothing else one."""

import copy
import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.month_statements import ReportedLine

# Where another currency can be reported: the files of the others have one only.
_CURRENCIES = {"USD": "EUR", "EUR": "USD"}
# A line that is left out must have a later statement that does not report it either.
_LAST_DAY = 25


@dataclass(frozen=True, slots=True)
class Planted:
    """The case that must be open."""

    kind: str
    reference: str


def plant_errors(
    lines: Sequence[ReportedLine], channel: str, each: int
) -> tuple[list[ReportedLine], list[Planted]]:
    """`each` errors of every sort, spread over the month. Returns the lines that the channel then reports."""
    payments = [line for line in lines if line.kind == "payment" and line.at.day <= _LAST_DAY]
    refunds = [line for line in lines if line.kind == "refund" and line.at.day <= _LAST_DAY]
    sorts = ["missing", "doubled", "amount", "fee", "shifted by a day", "shifted by three days"]
    if payments[0].currency in _CURRENCIES:
        sorts.append("currency")
    chosen = _spread(payments, sorts, each) | _spread(refunds, ["missing", "doubled", "amount"], each)
    reported: list[ReportedLine] = []
    planted: list[Planted] = []
    for line in lines:
        sort = chosen.get(id(line), "")
        reported += _report(line, sort)
        if sort:
            planted.append(Planted(_CASES[sort], line.reference))
    for number in range(each):
        unknown = _invent(payments[number * 7], channel, number)
        reported.append(unknown)
        planted.append(Planted("unknown_line", unknown.reference))
    return reported, planted


_CASES = {
    "missing": "missing_line",
    "doubled": "duplicate_line",
    "amount": "amount_differs",
    "fee": "fee_differs",
    "currency": "currency_differs",
    "shifted by a day": "day_differs",
    "shifted by three days": "day_differs",
}


def _spread(lines: Sequence[ReportedLine], sorts: Sequence[str], each: int) -> dict[int, str]:
    wanted = len(sorts) * each
    step = len(lines) // wanted
    assert step, f"{len(lines)} lines for {wanted} errors"
    return {id(lines[place * step]): sorts[place % len(sorts)] for place in range(wanted)}


def _report(line: ReportedLine, sort: str) -> list[ReportedLine]:
    match sort:
        case "missing":
            return []
        case "doubled":
            return [line, copy.copy(line)]
        case "amount":
            return [replace(line, gross_minor=line.gross_minor + 1)]
        case "fee":
            return [replace(line, fee_minor=line.fee_minor + 2)]
        case "currency":
            return [replace(line, currency=_CURRENCIES[line.currency])]
        case "shifted by a day":
            return [replace(line, at=line.at + dt.timedelta(days=1))]
        case "shifted by three days":
            return [replace(line, at=line.at + dt.timedelta(days=3))]
    return [line]


def _invent(like: ReportedLine, channel: str, number: int) -> ReportedLine:
    """A payment that the platform has never heard of."""
    reference = f"PAY-20261001-{channel}-{number}"
    return replace(
        like,
        reference=reference,
        trade_reference=reference,
        channel_no=f"unknown-{channel}-{number}",
        line_no=f"txn_unknown_{channel}_{number}",
    )


def compare(planted: Sequence[Planted], found: Sequence[Planted]) -> tuple[int, list[str]]:
    """Returns how many of the planted errors are exactly one case, and what is wrong."""
    cases: dict[Planted, int] = defaultdict(int)
    for case in found:
        cases[case] += 1
    wrong = [f"{cases[each]} cases: {each}" for each in planted if cases[each] != 1]
    expected = set(planted)
    wrong += [f"not planted: {case}" for case in cases if case not in expected]
    return sum(cases[each] == 1 for each in planted), wrong


def list_matched(reported: Sequence[ReportedLine], planted: Sequence[Planted]) -> Iterator[ReportedLine]:
    """The lines that are in no case: of a doubled one, the first."""
    kinds = {each.reference: each.kind for each in planted}
    for line in reported:
        if line.reference not in kinds:
            yield line
        elif kinds[line.reference] == "duplicate_line":
            kinds[line.reference] = "the second one"
            yield line

"""Records what the bank says about payouts that were sent: one by one, or as a file."""

import csv
import datetime as dt
import io
from dataclasses import dataclass

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.dual_control import FindConflict
from common.errors import FieldsRefused, NotPermitted, UnknownObject
from common.terminal import TERMINAL
from payouts import state_machine
from payouts.models import Payout, PayoutStatus

OUTCOMES = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.RETURNED)
CSV_COLUMNS = ("payout_no", "status", "arrival_date", "bank_reference", "code", "message", "fee_minor")


@dataclass(frozen=True, slots=True)
class BankOutcome:
    """`fee_minor` is what the bank kept of a payout that it did not pay or gave back."""

    payout_no: str
    status: str
    arrival_date: dt.date | None = None
    bank_reference: str = ""
    code: str = ""
    message: str = ""
    fee_minor: int = 0


def record_outcome(*, outcome: BankOutcome, actor: str, reason: str, find_conflict: FindConflict) -> bool:
    """False when it is known already. A failure or return makes the amount payable again, so a second person must
    record the same: until then it is only claimed.

    Raises `FieldsRefused`, `UnknownObject`, and `NotPermitted` when it contradicts what is known."""
    _require_valid(outcome)
    with recording(
        StaffActionType.PAYOUT_OUTCOME, ObjectType.PAYOUT, outcome.payout_no, actor=actor, reason=reason
    ) as entry:
        payout = Payout.objects.select_for_update().filter(payout_no=outcome.payout_no).first()
        if payout is None:
            raise UnknownObject(_("There is no payout %(no)s.") % {"no": outcome.payout_no})
        if outcome.fee_minor >= payout.amount_minor:
            raise FieldsRefused({"fee_minor": _("The fee must be less than the payout.")})
        entry.before = {"status": payout.status}
        is_moved = _apply(payout, outcome, actor, find_conflict)
        if payout.status != outcome.status and _is_claimed(payout, outcome):
            entry.after = {"status": payout.status, "claimed": outcome.status}
            return is_moved
        if not is_moved and payout.status != outcome.status:
            raise NotPermitted(
                _("%(no)s is %(status)s: it cannot become %(wanted)s.")
                % {
                    "no": payout.payout_no,
                    "status": payout.get_status_display(),
                    "wanted": PayoutStatus(outcome.status).label,
                }
            )
        entry.after = {"status": payout.status, "return_fee_minor": payout.return_fee_minor}
    return is_moved


def read_outcomes(content: bytes) -> list[BankOutcome]:
    """Reads a CSV file with `CSV_COLUMNS`. Raises `FieldsRefused`, which names the line."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        if not {"payout_no", "status"} <= set(rows.fieldnames or ()):
            raise FieldsRefused({"file": _("The first line must name payout_no and status.")})
        return [_read_row(number, row) for number, row in enumerate(rows, start=2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FieldsRefused({"file": _("This is not a CSV file in UTF-8.")}) from error


def _read_row(number: int, row: dict[str | None, str | None]) -> BankOutcome:
    values = {name: (row.get(name) or "").strip() for name in CSV_COLUMNS}
    try:
        outcome = BankOutcome(
            payout_no=values["payout_no"],
            status=values["status"],
            arrival_date=dt.date.fromisoformat(values["arrival_date"]) if values["arrival_date"] else None,
            bank_reference=values["bank_reference"],
            code=values["code"],
            message=values["message"],
            fee_minor=int(values["fee_minor"] or 0),
        )
        _require_valid(outcome)
    except (ValueError, FieldsRefused) as error:
        raise FieldsRefused(
            {"file": _("Line %(number)d: %(problem)s") % {"number": number, "problem": str(error)}}
        ) from error
    return outcome


def _require_valid(outcome: BankOutcome) -> None:
    wrong = {}
    if outcome.status not in OUTCOMES:
        wrong["status"] = _("Choose one of: %(choices)s.") % {"choices": ", ".join(OUTCOMES)}
    if outcome.fee_minor < 0 or (outcome.fee_minor and outcome.status == PayoutStatus.PAID):
        wrong["fee_minor"] = _("Only a payout that came back has a fee, and it is not negative.")
    if outcome.status in (PayoutStatus.FAILED, PayoutStatus.RETURNED) and not outcome.code:
        wrong["code"] = _("Give the bank's reason.")
    if len(outcome.code) > 50 or len(outcome.bank_reference) > 100:
        wrong["code"] = _("The reason or the reference is too long.")
    if wrong:
        raise FieldsRefused(wrong)


def _apply(payout: Payout, outcome: BankOutcome, actor: str, find_conflict: FindConflict) -> bool:
    if outcome.status == PayoutStatus.PAID:
        return state_machine.mark_paid(
            payout=payout, arrival_date=outcome.arrival_date, bank_reference=outcome.bank_reference
        )
    if not _is_claimed(payout, outcome) or payout.claimed_by.startswith(TERMINAL):
        return _claim(payout, outcome, actor)
    if payout.status == outcome.status or actor == payout.claimed_by or actor.startswith(TERMINAL):
        return False
    if conflict := find_conflict(actor, payout.claimed_by):
        raise NotPermitted(conflict)
    give_back = (
        state_machine.mark_failed if outcome.status == PayoutStatus.FAILED else state_machine.mark_returned
    )
    return give_back(
        payout=payout,
        code=outcome.code,
        message=outcome.message,
        fee_minor=outcome.fee_minor,
        confirmed_by=actor,
    )


def _claim(payout: Payout, outcome: BankOutcome, actor: str) -> bool:
    """A name from a terminal proves no identity: an account claims the same again, before another one confirms it."""
    if payout.claimed_by == actor and _is_claimed(payout, outcome):
        return False
    return state_machine.claim_outcome(payout=payout, claim=_build_claim(outcome), actor=actor)


def _is_claimed(payout: Payout, outcome: BankOutcome) -> bool:
    return bool(payout.claimed_outcome == _build_claim(outcome))


def _build_claim(outcome: BankOutcome) -> dict[str, str | int]:
    """The values in which the claims of two people must agree."""
    return {"status": outcome.status, "code": outcome.code, "fee_minor": outcome.fee_minor}

"""Decisions of staff about settlement cases. Each decision is audited in its transaction, and posts what it moves."""

import uuid
from collections import defaultdict
from collections.abc import Iterator

from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.dual_control import FindConflict
from common.errors import NotPermitted, UnknownObject
from ledger.bulk_posting import post_transfers
from ledger.chart import LedgerAccountKind
from ledger.posting import Transfer
from ledger.postings import HoldingAccount
from ledger.statement_postings import StatementSubject, build_correction
from settlements.models import CaseKind, CaseResolution, CaseState, LineKind, SettlementCase
from settlements.services.line_postings import post_lines_of_case
from settlements.services.long_transactions import try_share_account

# A difference of at most so much is rounding.
ROUNDING_MINOR = 1
_POSTED_AS_REPORTED = (LineKind.FEE, LineKind.PAYOUT, LineKind.ROUNDING)


def take_case(*, case_id: uuid.UUID, actor: str, reason: str) -> None:
    """The actor becomes the owner."""
    with recording(
        StaffActionType.CASE_TAKE, ObjectType.SETTLEMENT_CASE, case_id, actor=actor, reason=reason
    ) as entry:
        case = _lock_open_case(case_id)
        entry.before, entry.after = {"owner": case.owner}, {"owner": actor}
        case.owner, case.reason = actor, reason
        case.save(update_fields=["owner", "reason"])


def ask_channel(*, case_id: uuid.UUID, actor: str, reason: str) -> None:
    """The case waits for the channel's answer. `reason` is what was asked."""
    with recording(
        StaffActionType.CASE_ASK_CHANNEL, ObjectType.SETTLEMENT_CASE, case_id, actor=actor, reason=reason
    ) as entry:
        case = _lock_open_case(case_id)
        entry.before, entry.after = {"state": case.state}, {"state": CaseState.ASKED.value}
        case.state, case.reason, case.owner = CaseState.ASKED, reason, case.owner or actor
        case.save(update_fields=["state", "reason", "owner"])


def book_case(*, case_id: uuid.UUID, actor: str, reason: str) -> None:
    """Accepts what the channel reports: the ledger follows, and the difference goes to suspense."""
    with recording(
        StaffActionType.CASE_BOOK, ObjectType.SETTLEMENT_CASE, case_id, actor=actor, reason=reason
    ) as entry:
        case = _lock_open_case(case_id)
        _post(case, LedgerAccountKind.SUSPENSE)
        _resolve(case, CaseResolution.BOOKED, actor, reason)
        entry.after = {"resolution": case.resolution, "difference": _describe_difference(case)}


def dismiss_case(*, case_id: uuid.UUID, actor: str, reason: str) -> None:
    """The channel reports a movement twice, and the money moved once: nothing of the second report is posted. Raises
    `NotPermitted` for a case of another kind."""
    with recording(
        StaffActionType.CASE_DISMISS, ObjectType.SETTLEMENT_CASE, case_id, actor=actor, reason=reason
    ) as entry:
        case = _lock_open_case(case_id)
        if case.kind != CaseKind.DUPLICATE_LINE:
            raise NotPermitted(_("Only a line that is reported more often than expected can be dismissed."))
        _resolve(case, CaseResolution.DISMISSED, actor, reason)
        entry.after = {"resolution": case.resolution, "difference": _describe_difference(case)}


def request_write_off(*, case_id: uuid.UUID, actor: str, reason: str) -> None:
    """Nothing is posted before a second person agrees."""
    with recording(
        StaffActionType.CASE_WRITE_OFF_REQUEST,
        ObjectType.SETTLEMENT_CASE,
        case_id,
        actor=actor,
        reason=reason,
    ) as entry:
        case = _lock_open_case(case_id)
        entry.before = {"write_off_requested_by": case.write_off_requested_by}
        entry.after = {"write_off_requested_by": actor}
        case.write_off_requested_by, case.reason, case.owner = actor, reason, case.owner or actor
        case.save(update_fields=["write_off_requested_by", "reason", "owner"])


def approve_write_off(*, case_id: uuid.UUID, actor: str, reason: str, find_conflict: FindConflict) -> None:
    """The difference becomes a loss, or a gain. Raises `NotPermitted` unless `actor` is a second person."""
    with recording(
        StaffActionType.CASE_WRITE_OFF, ObjectType.SETTLEMENT_CASE, case_id, actor=actor, reason=reason
    ) as entry:
        case = _lock_open_case(case_id)
        if not case.write_off_requested_by:
            raise NotPermitted(_("Nobody has requested to write this case off."))
        if conflict := find_conflict(actor, case.write_off_requested_by):
            raise NotPermitted(conflict)
        _post(case, LedgerAccountKind.WRITE_OFFS)
        _resolve(case, CaseResolution.WRITTEN_OFF, actor, reason)
        entry.after = {"resolution": case.resolution, "difference": _describe_difference(case)}


def _lock_open_case(case_id: uuid.UUID) -> SettlementCase:
    found = SettlementCase.objects.filter(id=case_id)
    of_account = found.values_list("channel", "environment", "channel_account_id").first()
    if of_account is None:
        raise UnknownObject(_("There is no such case."))
    # Matching has read which cases are open, and moves their lines and expectations at its end.
    if not try_share_account(*of_account):
        raise NotPermitted(
            _("A statement of this account is being compared at the moment. Try again in some minutes.")
        )
    case = SettlementCase.objects.select_for_update(of=("self",)).get(id=case_id)
    if case.state == CaseState.RESOLVED:
        raise NotPermitted(_("The case is resolved."))
    return case


def _resolve(case: SettlementCase, resolution: CaseResolution, actor: str, reason: str) -> None:
    case.state, case.resolution, case.resolved_by, case.reason = CaseState.RESOLVED, resolution, actor, reason
    SettlementCase.objects.filter(id=case.id).update(
        state=case.state, resolution=resolution, resolved_by=actor, reason=reason, resolved_at=Now()
    )


def _post(case: SettlementCase, kind: LedgerAccountKind) -> None:
    post_lines_of_case(list(case.lines.select_related("file")))
    post_transfers(list(_build_corrections(case, kind)))


def _build_corrections(case: SettlementCase, kind: LedgerAccountKind) -> Iterator[Transfer]:
    """Returns the amount that the ledger expects, less the amount that the channel reports, in each currency."""
    shortfalls: dict[str, int] = defaultdict(int)
    for expectation in case.expectations.all():
        shortfalls[expectation.currency] += expectation.amount_minor
    for line in case.lines.exclude(kind__in=_POSTED_AS_REPORTED):
        shortfalls[line.currency] -= line.gross_minor
    for sequence, (currency, shortfall_minor) in enumerate(sorted(shortfalls.items())):
        if shortfall_minor:
            is_rounding = abs(shortfall_minor) <= ROUNDING_MINOR
            subject = StatementSubject(
                case.id,
                case.reference,
                case.environment,
                currency,
                HoldingAccount(case.channel, case.channel_account_id),
            )
            used = LedgerAccountKind.ROUNDING if is_rounding else kind
            yield build_correction(subject, used, shortfall_minor, sequence=sequence)


def _describe_difference(case: SettlementCase) -> str:
    return f"{case.reported_minor} {case.reported_currency} reported, {case.expected_minor} {case.currency} expected"

"""Disputes at the bank: a script opens them, the platform answers them, and the answer decides them.

As at Stripe (docs.stripe.com/testing#disputes), the evidence text `winning_evidence` wins and `losing_evidence` loses
at once; any other answer stays under review. A dispute that is not answered in time is lost. The row is the bank's
record of the money: `simulator_ledger` has the payment's charges and refunds only.
"""

import hashlib
import secrets
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from channels.base import (
    TEST,
    AcceptDispute,
    ChannelDispute,
    ChannelDisputeReason,
    ChannelDisputeStage,
    Declined,
    DisputeResult,
    DisputeState,
    EvidenceRules,
    FileResult,
    InvalidRequest,
    NotFoundAtChannel,
    Reported,
    SubmitEvidence,
    UploadEvidence,
)
from channels.simulator.faults import Script
from channels.simulator.models import SimulatedDispute, SimulatedEvidenceFile, SimulatedPayment
from channels.simulator.outgoing import queue_notification
from channels.simulator.router import ALIAS
from common.db import insert_unless_exists

DECIDING_FIELD, WINNING, LOSING = "uncategorized_text", "winning_evidence", "losing_evidence"
DUE_IN = timedelta(days=7)
OPENING_SCRIPTS = {"dispute": ChannelDisputeStage.CHARGEBACK, "inquiry": ChannelDisputeStage.INQUIRY}
RULES = EvidenceRules(
    text_fields={
        DECIDING_FIELD: 20_000,
        "product_description": 20_000,
        "customer_name": 5_000,
        "shipping_tracking_number": 5_000,
    },
    file_fields=frozenset(("receipt", "customer_communication", "uncategorized_file")),
    content_types=frozenset(("application/pdf", "image/jpeg", "image/png")),
    max_text_characters=150_000,
    max_bytes=4_500_000,
    max_pages=49,
)
_CLOSED = (DisputeState.WON, DisputeState.LOST, DisputeState.CLOSED)
_NOT_ANSWERABLE = Declined("dispute_closed", "The simulator takes no answer to this dispute any more.")


def to_channel_dispute(dispute: SimulatedDispute) -> ChannelDispute:
    return ChannelDispute(
        environment=TEST,
        channel_dispute_no=dispute.channel_dispute_no,
        channel_trade_no=dispute.payment.channel_trade_no,
        amount_minor=dispute.amount,
        currency=dispute.currency,
        reason=ChannelDisputeReason(dispute.reason),
        channel_reason=dispute.reason,
        state=DisputeState(dispute.state),
        stage=ChannelDisputeStage(dispute.stage),
        evidence_due_by=dispute.evidence_due_by,
        has_evidence=dispute.submission_count > 0,
        submission_count=dispute.submission_count,
    )


# --- The customer and the bank ------------------------------------------------------------------------


def open_scripted_dispute(payment: SimulatedPayment, script: Script) -> None:
    """The customer disputes the whole payment, if the script asks for it. Its webhook comes the script's seconds later.
    The caller has locked the payment."""
    for name, stage in OPENING_SCRIPTS.items():
        if script.asks_for(name):
            open_dispute(payment, payment.captured, stage=stage, delay=script.behaviours[name])


def open_dispute(
    payment: SimulatedPayment,
    amount: int,
    *,
    stage: ChannelDisputeStage = ChannelDisputeStage.CHARGEBACK,
    due_in: timedelta = DUE_IN,
    delay: float = 0.0,
) -> SimulatedDispute:
    """The bank takes the money at once, unless it only inquires."""
    is_inquiry = stage == ChannelDisputeStage.INQUIRY
    reason = ChannelDisputeReason.PRODUCT_NOT_RECEIVED if is_inquiry else ChannelDisputeReason.FRAUDULENT
    dispute = SimulatedDispute.objects.create(
        channel_dispute_no=f"sim_dp_{secrets.token_hex(12)}",
        payment=payment,
        stage=stage,
        state=DisputeState.NEEDS_RESPONSE,
        reason=reason,
        amount=amount,
        currency=payment.currency,
        evidence_due_by=Now() + due_in,
    )
    dispute.refresh_from_db(fields=["evidence_due_by"])
    _notify(dispute, "dispute.created", delay=delay)
    return dispute


def decide_dispute(number: str, state: DisputeState) -> None:
    """The bank decides. A decision can follow another one."""
    with transaction.atomic(using=ALIAS):
        dispute = _lock_dispute(number, ends_overdue=False)
        assert dispute is not None, number
        _close(dispute, state)


def settle_due_disputes(limit: int = 100) -> int:
    """Ends the disputes that were not answered in time. Returns their number."""
    due = SimulatedDispute.objects.filter(state=DisputeState.NEEDS_RESPONSE, evidence_due_by__lte=Now())
    numbers = list(due.values_list("pk", flat=True)[:limit])
    for number in numbers:
        with transaction.atomic(using=ALIAS):
            _lock_dispute(number)
    return len(numbers)


# --- The platform -------------------------------------------------------------------------------------


def find_dispute(number: str) -> DisputeResult:
    with transaction.atomic(using=ALIAS):
        dispute = _lock_dispute(number)
        return NotFoundAtChannel() if dispute is None else Reported(to_channel_dispute(dispute))


def upload_evidence(request: UploadEvidence) -> FileResult:
    """Keeps what is needed to recognize the file. A repetition of the key makes no second one."""
    dispute = SimulatedDispute.objects.filter(pk=request.dispute.channel_dispute_no).first()
    if dispute is None:
        return NotFoundAtChannel()
    file = SimulatedEvidenceFile(
        channel_file_no=f"sim_file_{secrets.token_hex(12)}",
        upload_key=request.key,
        dispute=dispute,
        name=request.name,
        size_bytes=len(request.content),
        sha256=hashlib.sha256(request.content).hexdigest(),
    )
    if not insert_unless_exists(file):
        file = SimulatedEvidenceFile.objects.get(upload_key=request.key)
    return Reported(file.channel_file_no)


def submit_evidence(request: SubmitEvidence) -> DisputeResult:
    """Takes the answer, once for each key."""
    with transaction.atomic(using=ALIAS):
        dispute = _lock_dispute(request.dispute.channel_dispute_no)
        if dispute is None:
            return NotFoundAtChannel()
        if dispute.answer_key == request.key:
            return Reported(to_channel_dispute(dispute))
        if dispute.state != DisputeState.NEEDS_RESPONSE:
            return _NOT_ANSWERABLE
        if unknown := set(request.files.values()) - set(dispute.files.values_list("pk", flat=True)):
            return InvalidRequest("no_such_file", f"The simulator has no file {', '.join(sorted(unknown))}.")
        dispute.answer_key = request.key
        dispute.submission_count += 1
        dispute.evidence = {**request.texts, **request.files}
        words = request.texts.get(DECIDING_FIELD, "").strip()
        if words in (WINNING, LOSING):
            _close(dispute, DisputeState.WON if words == WINNING else DisputeState.LOST)
        else:
            dispute.state = DisputeState.UNDER_REVIEW
            dispute.save()
            _notify(dispute, "dispute.updated")
        return Reported(to_channel_dispute(dispute))


def accept_dispute(request: AcceptDispute) -> DisputeResult:
    """Gives the dispute up, for good. An inquiry ends without money."""
    with transaction.atomic(using=ALIAS):
        dispute = _lock_dispute(request.dispute.channel_dispute_no)
        if dispute is None:
            return NotFoundAtChannel()
        if dispute.answer_key != request.key:
            if dispute.state != DisputeState.NEEDS_RESPONSE:
                return _NOT_ANSWERABLE
            dispute.answer_key = request.key
            _close(dispute, _choose_loss(dispute))
        return Reported(to_channel_dispute(dispute))


def _lock_dispute(number: str, *, ends_overdue: bool = True) -> SimulatedDispute | None:
    """Locks the dispute, and ends one that was not answered in time. Only inside a transaction."""
    rows = SimulatedDispute.objects.select_for_update(of=("self",)).select_related("payment")
    dispute = rows.annotate(now=Now()).filter(pk=number).first()
    if dispute is None:
        return None
    is_overdue = dispute.state == DisputeState.NEEDS_RESPONSE and dispute.evidence_due_by <= dispute.now
    if is_overdue and ends_overdue:
        _close(dispute, _choose_loss(dispute))
    return dispute


def _choose_loss(dispute: SimulatedDispute) -> DisputeState:
    is_inquiry = dispute.stage == ChannelDisputeStage.INQUIRY
    return DisputeState.CLOSED if is_inquiry else DisputeState.LOST


def _close(dispute: SimulatedDispute, state: DisputeState) -> None:
    assert state in _CLOSED, state
    dispute.state = state
    dispute.save()
    _notify(dispute, "dispute.closed")


def _notify(dispute: SimulatedDispute, event_type: str, *, delay: float = 0.0) -> None:
    reported = asdict(to_channel_dispute(dispute))
    content = {**reported, "evidence_due_by": dispute.evidence_due_by.isoformat()}
    queue_notification(dispute.payment, event_type, {"dispute": content}, delay=delay)

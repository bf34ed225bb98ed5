"""The simulator's part of the port for disputes. Its calls are lost as the payment's script says."""

from collections.abc import Callable
from typing import TypeVar

from channels.base import (
    AcceptDispute,
    Declined,
    DisputeRef,
    DisputeResult,
    FileResult,
    NewKeyRequired,
    NotProcessed,
    SubmitEvidence,
    UnknownOutcome,
    UploadEvidence,
)
from channels.simulator import disputes, faults
from channels.simulator.faults import SimulatedOperation
from channels.simulator.models import SimulatedDispute
from channels.simulator.network import send_call

R = TypeVar("R")


class SimulatorDisputes:
    rules = disputes.RULES

    def upload_evidence(self, request: UploadEvidence) -> FileResult:
        return _send(
            SimulatedOperation.UPLOAD, request.dispute, request.key, lambda: disputes.upload_evidence(request)
        )

    def submit_evidence(self, request: SubmitEvidence) -> DisputeResult:
        return _send(
            SimulatedOperation.SUBMIT, request.dispute, request.key, lambda: disputes.submit_evidence(request)
        )

    def accept_dispute(self, request: AcceptDispute) -> DisputeResult:
        return _send(
            SimulatedOperation.ACCEPT, request.dispute, request.key, lambda: disputes.accept_dispute(request)
        )

    def find_dispute(self, dispute: DisputeRef) -> DisputeResult:
        return _send(
            SimulatedOperation.QUERY_DISPUTE,
            dispute,
            "",
            lambda: disputes.find_dispute(dispute.channel_dispute_no),
        )


def _send(
    operation: SimulatedOperation, dispute: DisputeRef, key: str, execute: Callable[[], R]
) -> R | Declined | NewKeyRequired | NotProcessed | UnknownOutcome:
    return send_call(
        _get_script(dispute), operation, dispute.channel_dispute_no, key, dispute.timeout_seconds, execute
    )


def _get_script(dispute: DisputeRef) -> faults.Script:
    known = SimulatedDispute.objects.filter(pk=dispute.channel_dispute_no)
    text = known.values_list("payment__simulate", flat=True).first()
    return faults.parse_script(text) if text else faults.NORMAL

"""The simulator's part of the port for disputes. Its calls are lost as the payment's script says."""

from channels.base import (
    AcceptDispute,
    DisputeRef,
    DisputeResult,
    FileResult,
    SubmitEvidence,
    UploadEvidence,
)
from channels.simulator import disputes, faults
from channels.simulator.faults import SimulatedOperation
from channels.simulator.models import SimulatedDispute
from channels.simulator.network import send_call


class SimulatorDisputes:
    rules = disputes.RULES

    def upload_evidence(self, request: UploadEvidence) -> FileResult:
        return send_call(
            _get_script(request.dispute),
            SimulatedOperation.UPLOAD,
            request.dispute.channel_dispute_no,
            request.key,
            request.dispute.timeout_seconds,
            lambda: disputes.upload_evidence(request),
        )

    def submit_evidence(self, request: SubmitEvidence) -> DisputeResult:
        return send_call(
            _get_script(request.dispute),
            SimulatedOperation.SUBMIT,
            request.dispute.channel_dispute_no,
            request.key,
            request.dispute.timeout_seconds,
            lambda: disputes.submit_evidence(request),
        )

    def accept_dispute(self, request: AcceptDispute) -> DisputeResult:
        return send_call(
            _get_script(request.dispute),
            SimulatedOperation.ACCEPT,
            request.dispute.channel_dispute_no,
            request.key,
            request.dispute.timeout_seconds,
            lambda: disputes.accept_dispute(request),
        )

    def find_dispute(self, dispute: DisputeRef) -> DisputeResult:
        return send_call(
            _get_script(dispute),
            SimulatedOperation.QUERY_DISPUTE,
            dispute.channel_dispute_no,
            "",
            dispute.timeout_seconds,
            lambda: disputes.find_dispute(dispute.channel_dispute_no),
        )


def _get_script(dispute: DisputeRef) -> faults.Script:
    known = SimulatedDispute.objects.filter(pk=dispute.channel_dispute_no)
    text = known.values_list("payment__simulate", flat=True).first()
    return faults.parse_script(text) if text else faults.NORMAL

"""POST /disputes/{dispute_no}/submit and …/accept: responds to a dispute (`flows/dispute_respond.py`)."""

import uuid

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway.errors import DisputeAnswerDeclined, DisputeNotAnswerable, build_declined_error
from gateway.flows import dispute_respond
from gateway.models import Dispute, DisputeResponse, ResponseKind, ResponseStatus
from gateway.representation import dispute_path, dispute_response_body
from gateway.services.dispute_evidence import find_draft, get_evidence_rules, lock_answerable_dispute
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from sagas.state import SagaState


def respond_to_dispute(
    *, dispute: Dispute, kind: ResponseKind, submitted_by: str, request: KeyedRequest
) -> Answer:
    """Submits the draft, or accepts the dispute, for good. Raises `DisputeNotAnswerable`."""
    get_evidence_rules(dispute)

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return start_response(
            dispute_id=dispute.id, kind=kind, submitted_by=submitted_by, saga_id=claim.resource_id
        )

    def build_answer(result: SagaResult) -> Answer:
        response = DisputeResponse.objects.select_related("dispute").get(saga_id=result.saga_id)
        body = dispute_response_body(response)
        if response.status == ResponseStatus.SUBMITTED:
            return success(body, message=_("Response submitted"))
        if response.status == ResponseStatus.FAILED:
            details = {**body, "dispute_no": dispute.dispute_no}
            return failure(build_declined_error(DisputeAnswerDeclined, details))
        return accepted(body, location=dispute_path(dispute))

    claim = claim_key(request, begin=begin)
    return run_claimed_saga(claim, build_answer=build_answer)


def start_response(
    *, dispute_id: uuid.UUID, kind: ResponseKind, submitted_by: str, saga_id: uuid.UUID
) -> SagaState:
    """Starts the saga in the caller's transaction. The caller has checked that the channel takes responses
    (`get_evidence_rules`). Raises `DisputeNotAnswerable`."""
    locked = lock_answerable_dispute(dispute_id)
    response = _prepare_response(locked, kind, submitted_by)
    response.saga_id = saga_id
    response.save()
    return dispute_respond.start_dispute_response(dispute=locked, response=response, saga_id=saga_id)


def _prepare_response(dispute: Dispute, kind: ResponseKind, submitted_by: str) -> DisputeResponse:
    draft = find_draft(dispute)
    if kind == ResponseKind.ACCEPTANCE:
        # A draft becomes the acceptance: its evidence is not sent.
        response = draft or DisputeResponse(dispute=dispute)
        response.kind = kind
    elif draft is None or not (draft.texts or draft.files.exists()):
        raise DisputeNotAnswerable({"dispute_no": dispute.dispute_no, "reason": "no_evidence"})
    else:
        response = draft
    response.submitted_by = submitted_by
    return response

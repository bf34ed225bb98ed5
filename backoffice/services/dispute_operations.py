"""Staff answer disputes: each change is one transaction with its audit log entry. A bank takes evidence once, so the
submission is a saga, which a worker resumes if the process dies."""

import uuid

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.ids import uuid7
from gateway.models import Dispute, DisputeResponse, EvidenceFile, ResponseKind
from gateway.services.dispute_evidence import (
    add_file,
    change_draft,
    count_pages_of_evidence,
    get_evidence_rules,
)
from gateway.services.respond_to_dispute import start_response
from sagas import engine

_ANSWERS = {
    ResponseKind.EVIDENCE: StaffActionType.DISPUTE_SUBMIT,
    ResponseKind.ACCEPTANCE: StaffActionType.DISPUTE_ACCEPT,
}


def set_evidence_text(*, dispute: Dispute, field: str, text: str, actor: str, reason: str) -> None:
    """An empty text removes the field. Raises `DisputeNotAnswerable` and `ValidationFailed`."""
    with recording(
        StaffActionType.DISPUTE_EVIDENCE, ObjectType.DISPUTE, dispute.dispute_no, actor=actor, reason=reason
    ) as entry:
        change_draft(dispute=dispute, texts={field: text})
        entry.after = {"field": field, "characters": len(text)}


def add_evidence_file(
    *, dispute: Dispute, field: str, name: str, content: bytes, actor: str, reason: str
) -> None:
    """Raises `DisputeNotAnswerable`, `ValidationFailed` and `ServiceUnavailable`."""
    page_count = count_pages_of_evidence(dispute=dispute, content=content)
    with recording(
        StaffActionType.DISPUTE_EVIDENCE, ObjectType.DISPUTE, dispute.dispute_no, actor=actor, reason=reason
    ) as entry:
        draft = add_file(
            dispute=dispute,
            field=field,
            name=name,
            content=content,
            page_count=page_count,
            uploaded_by=actor,
        )
        entry.after = {"field": field, "sha256": draft.files.get(field=field).sha256}


def respond_to_dispute(*, dispute: Dispute, kind: ResponseKind, actor: str, reason: str) -> DisputeResponse:
    """Submits the draft, or accepts the dispute, for good. Its status is `submitting` while the outcome is not known.
    Raises `DisputeNotAnswerable`."""
    get_evidence_rules(dispute)
    saga_id = uuid7()
    with recording(
        _ANSWERS[kind], ObjectType.DISPUTE, dispute.dispute_no, actor=actor, reason=reason, durable=True
    ) as entry:
        saga = start_response(dispute_id=dispute.id, kind=kind, submitted_by=actor, saga_id=saga_id)
        entry.before, entry.after = {"status": dispute.status}, {"saga": str(saga_id)}
    engine.advance_saga(saga)
    return DisputeResponse.objects.get(saga_id=saga_id)


def read_evidence(*, file_id: uuid.UUID, actor: str, reason: str) -> tuple[EvidenceFile, bytes]:
    """The file and its content. Raises `OSError` when the storage does not have it."""
    with recording(
        StaffActionType.EVIDENCE_DOWNLOADED, ObjectType.DISPUTE, actor=actor, reason=reason
    ) as entry:
        file = EvidenceFile.objects.select_related("response__dispute").get(id=file_id)
        entry.object_id = file.response.dispute.dispute_no
        entry.after = {"field": file.field, "sha256": file.sha256}
        with file.content.open("rb") as stream:
            content = stream.read()
    return file, content

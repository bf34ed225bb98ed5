"""The draft of a response to a dispute: text fields and files, until it is submitted."""

import hashlib
import uuid
from collections.abc import Mapping

import structlog
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from channel_accounts.serving import get_channel_of_payment
from channels.base import EvidenceRules
from common.errors import ServiceUnavailable, ValidationFailed
from gateway.errors import DisputeNotAnswerable
from gateway.models import Dispute, DisputeResponse, DisputeStatus, EvidenceFile, ResponseStatus
from gateway.services.evidence_files import EXTENSIONS, check_file, count_pages

log = structlog.get_logger(__name__)

# People repair or enlarge the storage: that takes minutes.
STORAGE_RETRY_SECONDS = "60"


def get_evidence_rules(dispute: Dispute) -> EvidenceRules:
    """Raises `DisputeNotAnswerable`."""
    rules = find_evidence_rules(dispute)
    if rules is None:
        raise DisputeNotAnswerable({"dispute_no": dispute.dispute_no, "reason": "not_supported"})
    return rules


def find_evidence_rules(dispute: Dispute) -> EvidenceRules | None:
    """None: the channel takes responses only on its own pages."""
    source = dispute.attempt or dispute.payment
    channel = get_channel_of_payment(
        dispute.channel,
        dispute.environment,
        sandbox=source.sandbox,
        account_id=dispute.channel_account_id,
    )
    port = channel.disputes
    return port.rules if port is not None and port.rules.takes_responses else None


def lock_answerable_dispute(dispute_id: uuid.UUID) -> Dispute:
    """Locks the dispute. Raises `DisputeNotAnswerable`."""
    dispute = Dispute.objects.select_for_update(of=("self",)).get(id=dispute_id)
    reason = find_obstacle(dispute)
    if reason:
        raise DisputeNotAnswerable(
            {
                "dispute_no": dispute.dispute_no,
                "reason": reason,
                "status": dispute.status,
                "evidence_due_by": dispute.evidence_due_by.isoformat() if dispute.evidence_due_by else None,
            }
        )
    return dispute


@transaction.atomic
def change_draft(*, dispute: Dispute, texts: Mapping[str, str]) -> DisputeResponse:
    """Sets text fields of the draft; an empty text removes its field. Raises `DisputeNotAnswerable` and
    `ValidationFailed`."""
    rules = get_evidence_rules(dispute)
    wrong = {
        name: [_("Unknown field.") if name not in rules.text_fields else _("Too long.")]
        for name, text in texts.items()
        if len(text) > rules.text_fields.get(name, -1)
    }
    if wrong:
        raise ValidationFailed(wrong)
    draft = _get_draft(lock_answerable_dispute(dispute.id))
    merged = {name: text for name, text in {**draft.texts, **texts}.items() if text}
    if sum(map(len, merged.values())) > rules.max_text_characters:
        raise ValidationFailed(
            {"texts": [_("At most %(max)s characters in all.") % {"max": rules.max_text_characters}]}
        )
    draft.texts = merged
    draft.save(update_fields=["texts"])
    return draft


def count_pages_of_evidence(*, dispute: Dispute, content: bytes) -> int | None:
    """Returns the `page_count` for `add_file`. Runs before its transaction, because reading a document takes time.

    A file for a dispute that cannot be answered is not read; `add_file` refuses it, or its request has an answer
    already. Raises `ServiceUnavailable`.
    """
    return None if find_obstacle(dispute) else count_pages(content)


def add_file(
    *, dispute: Dispute, field: str, name: str, content: bytes, page_count: int | None, uploaded_by: str
) -> DisputeResponse:
    """Stores a file for one field of the draft, in place of an earlier one. Raises `DisputeNotAnswerable`,
    `ValidationFailed`, and `ServiceUnavailable` when the storage of files does not work."""
    rules = get_evidence_rules(dispute)
    if field not in rules.file_fields:
        raise ValidationFailed({"field": [_("Unknown field.")]})
    with transaction.atomic():
        draft = _get_draft(lock_answerable_dispute(dispute.id))
        checked = check_file(content=content, page_count=page_count, rules=rules)
        replaced = draft.files.filter(field=field).first()
        others = draft.files.exclude(field=field).aggregate(size=Sum("size_bytes"), pages=Sum("page_count"))
        if (others["size"] or 0) + len(content) > rules.max_bytes or (
            others["pages"] or 0
        ) + checked.page_count > rules.max_pages:
            limits = {"bytes": rules.max_bytes, "pages": rules.max_pages}
            raise ValidationFailed(
                {"content": [_("All files have at most %(bytes)s bytes and %(pages)s pages.") % limits]}
            )
        if replaced is not None:
            replaced.delete()
            # After the commit: until then the draft may still need it.
            transaction.on_commit(lambda: replaced.content.delete(save=False))
        file = EvidenceFile(
            response=draft,
            field=field,
            original_name=_clean_name(name, checked.content_type),
            content_type=checked.content_type,
            size_bytes=len(content),
            page_count=checked.page_count,
            sha256=hashlib.sha256(content).hexdigest(),
            uploaded_by=uploaded_by,
        )
        _store_content(file, content)
        file.save(force_insert=True)
    return draft


def find_draft(dispute: Dispute) -> DisputeResponse | None:
    return dispute.responses.filter(status=ResponseStatus.DRAFT).first()


def _get_draft(dispute: Dispute) -> DisputeResponse:
    """The caller holds the dispute's lock."""
    return find_draft(dispute) or DisputeResponse.objects.create(dispute=dispute)


def _store_content(file: EvidenceFile, content: bytes) -> None:
    """The random name is stored with the row. A crash before the commit leaves a file that no row names."""
    try:
        file.content.save(uuid.uuid4().hex, ContentFile(content), save=False)
    except OSError as error:
        log.exception("evidence.storage_failed", dispute_id=str(file.response.dispute_id))
        raise ServiceUnavailable(
            {"reason": "storage_not_available"}, headers={"Retry-After": STORAGE_RETRY_SECONDS}
        ) from error


def find_obstacle(dispute: Dispute) -> str:
    """Returns why the dispute cannot be answered at this moment: the `reason` of `DisputeNotAnswerable`."""
    if dispute.status != DisputeStatus.NEEDS_RESPONSE:
        return "closed" if not dispute.is_open else "submitted"
    if dispute.evidence_due_by is not None and dispute.evidence_due_by <= timezone.now():
        return "past_due"
    if dispute.responses.filter(status=ResponseStatus.SUBMITTING).exists():
        return "in_progress"
    return ""


def _clean_name(name: str, content_type: str) -> str:
    """A name without folders and control characters, with the extension of its content."""
    stem = "".join(each for each in name.replace("\\", "/").rsplit("/", 1)[-1] if each.isprintable())
    return f"{stem.rsplit('.', 1)[0][:200] or 'evidence'}.{EXTENSIONS[content_type]}"

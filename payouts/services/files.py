"""Hands out the file of a run. Each download is in the audit log."""

import uuid
from dataclasses import dataclass

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.crypto import unseal
from common.errors import UnknownObject
from payouts.models import PayoutFile


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    name: str
    media_type: str
    content: bytes


def download_file(*, run_id: uuid.UUID, actor: str, reason: str) -> DownloadedFile:
    """Raises `UnknownObject`, `SecretUnreadable`."""
    with recording(
        StaffActionType.PAYOUT_FILE_DOWNLOAD, ObjectType.PAYOUT_RUN, run_id, actor=actor, reason=reason
    ) as entry:
        file = PayoutFile.objects.filter(run_id=run_id).first()
        if file is None:
            raise UnknownObject(_("This run has no file."))
        entry.after = {"name": file.name, "sha256": file.sha256}
    return DownloadedFile(file.name, file.media_type, unseal(file.sealed_content).encode())

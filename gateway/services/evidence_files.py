"""Checks files of evidence by their content, never by their name or by what the sender says of them."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from channels.base import EvidenceRules
from common.errors import ValidationFailed
from gateway.services.pdf_pages import count_pdf_pages

PDF = "application/pdf"
_SIGNATURES = {PDF: b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
EXTENSIONS = {PDF: "pdf", "image/png": "png", "image/jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class CheckedFile:
    content: bytes
    content_type: str
    page_count: int


def count_pages(content: bytes) -> int | None:
    """Returns None for a document that cannot be read. Anything but a PDF document counts as one page.

    No transaction may be open. Raises `ServiceUnavailable`.
    """
    return count_pdf_pages(content) if content.startswith(_SIGNATURES[PDF]) else 1


def check_file(*, content: bytes, page_count: int | None, rules: EvidenceRules) -> CheckedFile:
    """`page_count` is the result of `count_pages`. Raises `ValidationFailed`."""
    if not 0 < len(content) <= rules.max_bytes:
        raise _refuse(_("A file has between 1 byte and %(max)s bytes.") % {"max": rules.max_bytes})
    found = [each for each, signature in _SIGNATURES.items() if content.startswith(signature)]
    if not found or found[0] not in rules.content_types:
        raise _refuse(_("Upload a PDF, JPEG or PNG file."))
    if page_count is None:
        raise _refuse(_("The PDF document cannot be read."))
    if not 0 < page_count <= rules.max_pages:
        raise _refuse(_("A document has between 1 and %(max)s pages.") % {"max": rules.max_pages})
    return CheckedFile(content, found[0], page_count)


def _refuse(text: str) -> ValidationFailed:
    return ValidationFailed({"content": [text]})

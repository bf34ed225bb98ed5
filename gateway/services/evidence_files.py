"""Checks files of evidence by their content, never by their name or by what the sender says of them."""

import io
from dataclasses import dataclass

from django.utils.translation import gettext as _
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from channels.base import EvidenceRules
from common.errors import ValidationFailed

PDF = "application/pdf"
_SIGNATURES = {PDF: b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
EXTENSIONS = {PDF: "pdf", "image/png": "png", "image/jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class CheckedFile:
    content: bytes
    content_type: str
    page_count: int


def check_file(*, content: bytes, rules: EvidenceRules) -> CheckedFile:
    """An image counts as one page. Raises `ValidationFailed`."""
    if not 0 < len(content) <= rules.max_bytes:
        raise _refuse(_("A file has between 1 byte and %(max)s bytes.") % {"max": rules.max_bytes})
    found = [each for each, signature in _SIGNATURES.items() if content.startswith(signature)]
    if not found or found[0] not in rules.content_types:
        raise _refuse(_("Upload a PDF, JPEG or PNG file."))
    page_count = _count_pages(content) if found[0] == PDF else 1
    if not 0 < page_count <= rules.max_pages:
        raise _refuse(_("A document has between 1 and %(max)s pages.") % {"max": rules.max_pages})
    return CheckedFile(content, found[0], page_count)


def _count_pages(content: bytes) -> int:
    """A hostile document raises anything that pypdf documents, a nesting too deep, or a value that it cannot read."""
    try:
        return len(PdfReader(io.BytesIO(content)).pages)
    except (
        PyPdfError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise _refuse(_("The PDF document cannot be read.")) from error


def _refuse(text: str) -> ValidationFailed:
    return ValidationFailed({"content": [text]})

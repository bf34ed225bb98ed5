"""Responses that a browser saves as a file and that no cache keeps."""

from collections.abc import Iterator

from django.http import StreamingHttpResponse
from django.utils import timezone


def attachment_headers(file_name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{file_name}"', "Cache-Control": "no-store"}


def stream_csv(content: Iterator[bytes], *, kind: str) -> StreamingHttpResponse:
    """Names the file `KIND-20260302-043005.csv`."""
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers=attachment_headers(f"{kind}-{timezone.now():%Y%m%d-%H%M%S}.csv"),
    )

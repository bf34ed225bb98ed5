"""The files of a statement as downloads. They are complete before the first byte is sent, so that a slow reader holds
no transaction of PostgreSQL open."""

from tempfile import TemporaryFile

from django.http import FileResponse, HttpResponse

from common.downloads import attachment_headers
from fees.models import MerchantStatement
from fees.services.statements import open_statement_lines
from fees.statement_csv import write_csv
from fees.statement_pdf import write_pdf


def send_csv(statement: MerchantStatement) -> FileResponse:
    file = TemporaryFile()  # noqa: SIM115 - the response closes it
    with open_statement_lines(statement) as lines:
        for part in write_csv(lines, opening_minor=statement.opening_minor, currency=statement.currency):
            file.write(part)
    file.seek(0)
    return FileResponse(
        file,
        content_type="text/csv; charset=utf-8",
        headers=_headers(statement, "csv"),
    )


def send_pdf(statement: MerchantStatement) -> HttpResponse:
    with open_statement_lines(statement) as lines:
        content = write_pdf(statement, lines)
    return HttpResponse(content, content_type="application/pdf", headers=_headers(statement, "pdf"))


def _headers(statement: MerchantStatement, ending: str) -> dict[str, str]:
    name = f"statement-{statement.period}-{statement.first_day}-{statement.currency}.{ending}"
    return attachment_headers(name)

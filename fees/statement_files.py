"""The files of a statement as downloads."""

from django.http import HttpResponse, StreamingHttpResponse

from fees.models import MerchantStatement
from fees.services.statements import read_statement_lines, write_statement_csv
from fees.statement_pdf import write_pdf


def send_csv(statement: MerchantStatement) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        write_statement_csv(statement),
        content_type="text/csv; charset=utf-8",
        headers=_headers(statement, "csv"),
    )


def send_pdf(statement: MerchantStatement) -> HttpResponse:
    return HttpResponse(
        write_pdf(statement, read_statement_lines(statement)),
        content_type="application/pdf",
        headers=_headers(statement, "pdf"),
    )


def _headers(statement: MerchantStatement, ending: str) -> dict[str, str]:
    name = f"statement-{statement.period}-{statement.first_day}-{statement.currency}.{ending}"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}

"""The PDF file of a merchant's statement, for printing: its sums, and its first transactions. The CSV file has all.

Texts are set in STSong-Light, one of the Asian fonts that a PDF viewer has or substitutes with its own (PDF 32000-1,
9.7.5.2). So Chinese prints, no font is embedded, and no licence of a font applies.
"""

import functools
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final
from xml.sax.saxutils import escape

from django.utils.translation import gettext as _
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Table
from reportlab.platypus.flowables import Flowable, Spacer

from common.money import to_major_text
from fees.models import MerchantStatement
from fees.statement_lines import MerchantStatementLine

FONT: Final = "STSong-Light"
# A statement of more would be a book; its reader opens the CSV file.
MOST_LINES: Final = 1_000
_TITLE = ParagraphStyle("title", fontName=FONT, fontSize=16, leading=24)
_TEXT = ParagraphStyle("text", fontName=FONT, fontSize=9, leading=13)
_GRID: Final = [
    ("FONT", (0, 0), (-1, -1), FONT, 8),
    ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
]


def write_pdf(statement: MerchantStatement, lines: Iterable[MerchantStatementLine]) -> bytes:
    """In the active language."""
    _register_font()
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
        title=f"{_('Statement')} {statement.first_day}",
        author="",
        invariant=True,
    )
    document.build(list(_build_parts(statement, lines)))
    return file.getvalue()


@functools.cache
def _register_font() -> None:
    registerFont(UnicodeCIDFont(FONT))


def _build_parts(statement: MerchantStatement, lines: Iterable[MerchantStatementLine]) -> Iterator[Flowable]:
    yield Paragraph(escape(f"{_('Statement')} {_describe_period(statement)}"), _TITLE)
    facts = (
        (_("Merchant"), statement.merchant.name),
        (_("Currency"), statement.currency),
        (_("Environment"), statement.get_environment_display()),
        (_("Number"), str(statement.id)),
        (_("SHA-256 of the CSV file."), statement.csv_digest),
    )
    for label, value in facts:
        yield Paragraph(escape(f"{label.rstrip('.')}: {value}"), _TEXT)
    yield Spacer(1, 5 * mm)
    yield _build_sums(statement)
    yield Spacer(1, 5 * mm)
    yield _build_lines(statement, lines)
    if statement.transaction_count > MOST_LINES:
        text = _("%(count)d more transactions are in the CSV file.")
        yield Paragraph(text % {"count": statement.transaction_count - MOST_LINES}, _TEXT)


def _describe_period(statement: MerchantStatement) -> str:
    if statement.first_day == statement.last_day:
        return f"{statement.first_day} UTC"
    return f"{statement.first_day} – {statement.last_day} UTC"


def _build_sums(statement: MerchantStatement) -> Table:
    rows = [
        (_("Opening balance"), statement.opening_minor),
        (_("Payments"), statement.payments_minor),
        (_("Refunds"), statement.refunds_minor),
        (_("Disputes"), statement.disputes_minor),
        (_("Fees"), statement.fees_minor),
        (_("Other"), statement.other_minor),
        (_("Closing balance"), statement.closing_minor),
    ]
    shown = [(label, to_major_text(minor, statement.currency)) for label, minor in rows]
    style: list[Any] = [
        *_GRID,
        ("ALIGN", (1, 0), (1, -1), "RIGHT"),
        ("LINEABOVE", (0, -1), (-1, -1), 0.75, colors.black),
    ]
    return Table(shown, colWidths=[60 * mm, 40 * mm], hAlign="LEFT", style=style)


def _build_lines(statement: MerchantStatement, lines: Iterable[MerchantStatementLine]) -> LongTable:
    rows = [(_("Time (UTC)"), _("Event"), _("Source"), _("Amount"), _("Fee"), _("Net"))]
    for line in islice(lines, MOST_LINES):
        amounts = (line.amount_minor, line.fee_minor, line.net_minor)
        rows.append(
            (
                f"{line.created_at:%Y-%m-%d %H:%M:%S}",
                str(line.event.label),
                line.source,
                *(to_major_text(each, statement.currency) for each in amounts),  # type: ignore[arg-type]
            )
        )
    style: list[Any] = [*_GRID, ("ALIGN", (3, 0), (-1, -1), "RIGHT")]
    widths = [34 * mm, 34 * mm, 46 * mm, 22 * mm, 18 * mm, 22 * mm]
    return LongTable(rows, colWidths=widths, repeatRows=1, hAlign="LEFT", style=style)

"""CSV files that a spreadsheet opens, and texts in them that it must not run."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

MARK = "\ufeff"  # tells Excel that a CSV file is UTF-8
# A spreadsheet runs a text with such a start as a formula, half or full width (OWASP, CSV Injection).
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
# Numbers that a spreadsheet would change: more than its 15 digits, leading zeros, powers.
CHANGED_NUMBERS = re.compile(r"\d{16,}|0\d+|\d+(\.\d+)?[eE]\d+", re.ASCII)


def format_csv(rows: Iterable[Sequence[str]]) -> str:
    """Formats rows as CSV (RFC 4180). The caller escapes texts that other people wrote, with `escape_formula`."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def escape_formula(text: str) -> str:
    """Puts a quote in front, which makes it text."""
    is_dangerous = text.startswith(FORMULA_STARTS) or CHANGED_NUMBERS.fullmatch(text)
    return f"'{text}" if is_dangerous else text

"""Text that a spreadsheet opens as text."""

import re

MARK = "\ufeff"  # tells Excel that a CSV file is UTF-8
# A spreadsheet runs a text with such a start as a formula, half or full width (OWASP, CSV Injection).
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
# Numbers that a spreadsheet would change: more than its 15 digits, leading zeros, powers.
CHANGED_NUMBERS = re.compile(r"\d{16,}|0\d+|\d+(\.\d+)?[eE]\d+", re.ASCII)


def escape_formula(text: str) -> str:
    """Puts a quote in front, which makes it text."""
    is_dangerous = text.startswith(FORMULA_STARTS) or CHANGED_NUMBERS.fullmatch(text)
    return f"'{text}" if is_dangerous else text

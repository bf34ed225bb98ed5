"""Broken statements, and the integrity check that names each. A healthy world has none: each breakage makes its own."""

from tests.ops.breakage import Breakage

_FILE = """
INSERT INTO statement_files (id, channel, environment, sha256, content_sha256, format, day, period_start, period_end,
    name, imported_by, line_count, totals, state)
VALUES ('00000000-0000-7000-8000-000000000001', 'stripe', 'test', 'a', 'a', 'csv', '2026-01-01', '2026-01-01Z',
    '2026-01-02Z', '', '', 1, '{"USD": {"count": 1, "gross": 100, "fee": 3}}', 'posted');
"""
_LINE = """
INSERT INTO statement_lines (id, file_id, number, kind, gross_minor, fee_minor, net_minor, currency, reference,
    channel_no, line_no, payout_no, occurred_at, raw, state)
VALUES ('00000000-0000-7000-8000-00000000000{number}', '00000000-0000-7000-8000-000000000001', {number}, '{kind}',
    {gross}, {fee}, {gross} - {fee}, 'USD', '', '', '', '{payout}', '2026-01-01Z', '{{}}', '{state}');
"""
_DISMISS = """
INSERT INTO settlement_cases (id, channel, environment, kind, reference, currency, expected_minor, reported_minor,
    reported_currency, detail, state, owner, reason, write_off_requested_by, resolution, resolved_by, resolved_at)
VALUES ('00000000-0000-7000-8000-000000000009', 'stripe', 'test', 'duplicate_line', '', 'USD', 0, -3, 'USD',
    '{"line_kind": "fee"}', 'resolved', '', '', '', 'dismissed', 'ana', now());
UPDATE statement_lines SET state = 'in_case', case_id = '00000000-0000-7000-8000-000000000009' WHERE state = 'new';
"""


def _line(number: int, kind: str, gross: int, fee: int = 0, payout: str = "", state: str = "matched") -> str:
    return _LINE.format(number=number, kind=kind, gross=gross, fee=fee, payout=payout, state=state)


SETTLEMENT_BREAKAGES = [
    Breakage(
        "statement_lines_settled",
        "a line that was not compared",
        _FILE + _line(1, "payment", 100, 3, state="new"),
        "SELECT 'stripe 2026-01-01 line 1'",
    ),
    Breakage(
        "statements_add_up",
        "a line is missing",
        _FILE,
        "SELECT 'stripe 2026-01-01'",
    ),
    Breakage(
        "statements_agree_with_ledger",
        "a fee that was not posted",
        _FILE + _line(1, "fee", 0, 3),
        "SELECT 'stripe 2026-01-01 line 1'",
    ),
    Breakage(
        "statements_agree_with_ledger",
        "a dismissed fee that no other line reports",
        _FILE + _line(1, "fee", 0, 3, state="new") + _DISMISS,
        "SELECT 'stripe 2026-01-01 line 1'",
    ),
    Breakage(
        "statements_agree_with_payouts",
        "a payout of another amount",
        _FILE + _line(1, "payment", 100, 3, "po_1", state="new") + _line(2, "payout", -96, 0, "po_1"),
        "SELECT 'po_1'",
    ),
]

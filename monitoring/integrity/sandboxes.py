"""Checks of our amounts against the books of the sandboxes of WeChat Pay and Alipay."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck
from monitoring.integrity.ledger import OUR_TOTALS


def _compare(channel: str) -> str:
    """Without books (NULL) nothing is compared. A refund that the channel has accepted is pending with us."""
    return f"""
    SELECT b.reference AS id,
           'the sandbox took ' || b.taken || ' and refunded ' || b.refunded || ', our payment says '
           || coalesce(o.taken || ' and ' || o.refunded, 'nothing') AS detail
    FROM jsonb_to_recordset(%({channel}_books)s::jsonb)
         AS b(reference text, taken bigint, refunded bigint, last_at timestamptz)
    LEFT JOIN ({OUR_TOTALS}) o ON o.reference = b.reference AND o.channel = '{channel}'
    WHERE b.last_at >= %(since)s AND b.last_at <= now() - make_interval(secs => %(grace)s)
      AND NOT coalesce(o.needs_attention, false)
      AND (o.taken IS DISTINCT FROM b.taken OR b.refunded NOT BETWEEN o.refunded AND o.refunded + o.pending)
    UNION
    SELECT o.reference, 'our payment took ' || o.taken || ', the sandbox nothing'
    FROM ({OUR_TOTALS}) o
    WHERE %({channel}_books)s::jsonb IS NOT NULL AND o.channel = '{channel}' AND o.environment = 'test'
      AND o.taken > 0 AND o.created_at >= %(since)s AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset(%({channel}_books)s::jsonb) AS b(reference text, taken bigint)
        WHERE b.reference = o.reference AND b.taken > 0)
    """


CHECKS = (
    IntegrityCheck(
        "wechat_sandbox_agrees",
        _("WeChat Pay's sandbox took and refunded the amounts that our payment shows."),
        _compare("wechat"),
    ),
    IntegrityCheck(
        "alipay_sandbox_agrees",
        _("Alipay's sandbox took and refunded the amounts that our payment shows."),
        _compare("alipay"),
    ),
)

"""Posts many transfers in one statement, in the caller's transaction: what a statement of a channel moves.

A transfer of an event that was posted before is skipped, so that a repetition posts nothing twice.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection

from common.ids import uuid7
from ledger.models import TransferEvent, TransferKind
from ledger.posting import Transfer

_POST = """
WITH opened AS (
    INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel, channel_account_id)
    SELECT * FROM unnest(
        %(account_ids)s::uuid[], %(account_kinds)s::text[], %(account_environments)s::text[],
        %(account_currencies)s::text[], %(merchant_ids)s::uuid[], %(channels)s::text[], %(channel_account_ids)s::uuid[])
    ON CONFLICT DO NOTHING
), transfer AS (
    INSERT INTO ledger_transfers (
        id, event, subject_id, sequence, kind, leg_count, environment, currency, source, payment_id, is_opening, day)
    SELECT id, event, subject_id, sequence, 'single', leg_count, environment, currency, source, payment_id, false,
           (now() AT TIME ZONE 'UTC')::date
    FROM unnest(
        %(ids)s::uuid[], %(events)s::text[], %(subject_ids)s::uuid[], %(sequences)s::bigint[], %(leg_counts)s::int[],
        %(environments)s::text[], %(currencies)s::text[], %(sources)s::text[], %(payment_ids)s::uuid[])
        AS given(id, event, subject_id, sequence, leg_count, environment, currency, source, payment_id)
    ON CONFLICT (subject_id, event, sequence) DO NOTHING
    RETURNING id
), queued AS (
    INSERT INTO ledger_rollup_queue (transfer_id) SELECT id FROM transfer
), entry AS (
    INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
    SELECT given.transfer_id, given.leg, given.account_id, 'posted', given.direction, given.amount_minor
    FROM unnest(
        %(leg_transfers)s::uuid[], %(leg_numbers)s::int[], %(leg_accounts)s::uuid[], %(directions)s::text[],
        %(amounts)s::bigint[])
        AS given(transfer_id, leg, account_id, direction, amount_minor)
    JOIN transfer ON transfer.id = given.transfer_id
)
SELECT count(*) FROM transfer
"""

# Each transfer of the subjects again, the other way round. The unique constraint refuses to reverse one twice.
_REVERSE = """
WITH reversed AS (
    SELECT transfer.id AS reversed_id, uuidv7() AS id, transfer.subject_id, transfer.leg_count, transfer.environment,
           transfer.currency, transfer.source, transfer.payment_id,
           row_number() OVER (PARTITION BY transfer.subject_id ORDER BY transfer.event, transfer.sequence) - 1
               AS sequence
    FROM ledger_transfers AS transfer
    WHERE transfer.subject_id = ANY(%(subject_ids)s) AND transfer.kind = 'single' AND transfer.event <> %(event)s
), transfer AS (
    INSERT INTO ledger_transfers (
        id, event, subject_id, sequence, kind, leg_count, environment, currency, source, payment_id, is_opening, day)
    SELECT id, %(event)s, subject_id, sequence, 'single', leg_count, environment, currency, source, payment_id, false,
           (now() AT TIME ZONE 'UTC')::date
    FROM reversed
    RETURNING id
), queued AS (
    INSERT INTO ledger_rollup_queue (transfer_id) SELECT id FROM transfer
), entry AS (
    INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
    SELECT reversed.id, entry.leg, entry.account_id, entry.phase,
           CASE entry.direction WHEN 'debit' THEN 'credit' ELSE 'debit' END, entry.amount_minor
    FROM reversed
    JOIN transfer ON transfer.id = reversed.id
    JOIN ledger_entries AS entry ON entry.transfer_id = reversed.reversed_id
)
SELECT count(*) FROM transfer
"""


def post_transfers(transfers: Sequence[Transfer]) -> int:
    """Posts transfers of the platform, of kind SINGLE. Returns how many were new."""
    assert connection.in_atomic_block, "a transfer is posted in the transaction of its event"
    if not transfers:
        return 0
    assert all(each.kind is TransferKind.SINGLE and each.inverts is None for each in transfers)
    ids = [uuid7() for _transfer in transfers]
    legs = [
        (transfer_id, number, leg)
        for transfer_id, transfer in zip(ids, transfers, strict=True)
        for number, leg in enumerate(transfer.legs, start=1)
    ]
    # Ordered, so that transactions that open the same accounts cannot deadlock.
    accounts = sorted({leg.account for _id, _number, leg in legs}, key=lambda account: account.id)
    parameters: dict[str, Any] = {
        "ids": ids,
        "events": [each.event.value for each in transfers],
        "subject_ids": [each.subject.id for each in transfers],
        "sequences": [each.sequence for each in transfers],
        "leg_counts": [len(each.legs) for each in transfers],
        "environments": [each.subject.environment for each in transfers],
        "currencies": [each.subject.currency for each in transfers],
        "sources": [each.subject.source for each in transfers],
        "payment_ids": [each.subject.payment_id for each in transfers],
        "leg_transfers": [transfer_id for transfer_id, _number, _leg in legs],
        "leg_numbers": [number for _id, number, _leg in legs],
        "leg_accounts": [leg.account.id for _id, _number, leg in legs],
        "directions": [leg.direction.value for _id, _number, leg in legs],
        "amounts": [leg.amount_minor for _id, _number, leg in legs],
        "account_ids": [each.id for each in accounts],
        "account_kinds": [each.kind.value for each in accounts],
        "account_environments": [each.environment for each in accounts],
        "account_currencies": [each.currency for each in accounts],
        "merchant_ids": [each.merchant_id for each in accounts],
        "channels": [each.channel for each in accounts],
        "channel_account_ids": [each.channel_account_id for each in accounts],
    }
    with connection.cursor() as cursor:
        cursor.execute(_POST, parameters)
        (posted,) = cursor.fetchone()
    return int(posted)


def reverse_transfers(subject_ids: Sequence[uuid.UUID]) -> int:
    """Reverses all transfers of these lines and cases, because their statement is voided. Returns how many there were.
    Raises `IntegrityError` when they were reversed before."""
    assert connection.in_atomic_block, "a transfer is posted in the transaction of its event"
    parameters: dict[str, Any] = {
        "subject_ids": list(subject_ids),
        "event": TransferEvent.STATEMENT_VOIDED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_REVERSE, parameters)
        (posted,) = cursor.fetchone()
    return int(posted)

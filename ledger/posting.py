"""Writes a transfer with all of its entries in one statement, in the caller's transaction (ADR 41).

The unique constraint (subject, event, sequence) refuses to post the same event twice.
"""

import functools
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Model

from common.db import build_inserts, mark_inserted
from common.ids import uuid7
from ledger.chart import AccountIdentity
from ledger.models import EntryDirection, EntryPhase, TransferEvent, TransferKind


@dataclass(frozen=True, slots=True)
class Leg:
    account: AccountIdentity
    direction: EntryDirection
    amount_minor: int


@dataclass(frozen=True, slots=True)
class PostingSubject:
    """The object of an event: the payment, or a duplicate payment, refund or dispute of it; or a line of a channel's
    statement, which has no payment and no merchant. `source` is its number."""

    id: uuid.UUID
    source: str
    payment_id: uuid.UUID | None
    merchant_id: uuid.UUID | None
    environment: str
    currency: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """`legs` are pending in a transfer of kind PENDING, and posted in others.

    A POST or VOID releases the entries of the subject's pending transfer. A subject without one (from before the
    ledger) is posted as SINGLE, and nothing is voided.

    `inverts` is the event whose latest transfer of the subject is posted again the other way round, in place of `legs`.
    `sequence` counts, in addition to the given number, the subject's transfers of the events in `sequence_after`.
    `fee_basis` proves the fee among the legs later.
    """

    event: TransferEvent
    subject: PostingSubject
    legs: Sequence[Leg] = ()
    kind: TransferKind = TransferKind.SINGLE
    inverts: TransferEvent | None = None
    sequence: int = 0
    sequence_after: Sequence[TransferEvent] = ()
    is_opening: bool = False
    fee_basis: Mapping[str, Any] | None = None


_OPEN_ACCOUNTS = """
opened AS (
    INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel, channel_account_id)
    SELECT account_id, account_kind, environment, currency, merchant_id, channel, channel_account_id FROM given
    ON CONFLICT DO NOTHING
)"""

# The entries of an earlier transfer are copied in the other direction: those of the pending transfer when it is posted
# or voided, and the posted ones of the transfer that is inverted.
_INVERTED = """
inverted AS (
    SELECT id, kind FROM ledger_transfers
    WHERE subject_id = %(subject_id)s AND event = %(inverts)s
    ORDER BY sequence DESC LIMIT 1
), legs AS (
    SELECT account_id, direction, amount_minor, %(phase)s AS phase FROM given
    UNION ALL
    SELECT entry.account_id, CASE entry.direction WHEN 'debit' THEN 'credit' ELSE 'debit' END, entry.amount_minor,
           entry.phase
    FROM ledger_entries AS entry JOIN inverted ON entry.transfer_id = inverted.id
    WHERE entry.phase = %(inverted_phase)s
)"""
_GIVEN_ONLY = """
inverted AS (SELECT NULL::uuid AS id WHERE false), legs AS (
    SELECT account_id, direction, amount_minor, %(phase)s AS phase FROM given
)"""
_COUNTED = """
    + (SELECT count(*) FROM ledger_transfers WHERE subject_id = %(subject_id)s AND event = ANY(%(sequence_after)s))"""


@functools.lru_cache(maxsize=32)
def _build_statement(*, inverts: bool, counts: bool, rows: str) -> str:
    """`rows` has the INSERTs of `build_inserts`, which may be empty."""
    return f"""
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(legs)s::jsonb) AS leg(
        account_id uuid, account_kind text, environment text, currency text, merchant_id uuid, channel text,
        channel_account_id uuid, direction text, amount_minor bigint)
), {_OPEN_ACCOUNTS}, {_INVERTED if inverts else _GIVEN_ONLY}, transfer AS (
    INSERT INTO ledger_transfers (
        id, event, subject_id, sequence, kind, pending_id, leg_count, environment, merchant_id, currency, payment_id,
        source, is_opening, fee_basis, day)
    SELECT %(id)s, %(event)s, %(subject_id)s, %(sequence)s {_COUNTED if counts else ""},
        CASE WHEN %(settles)s AND pending.id IS NULL THEN 'single' ELSE %(kind)s END,
        CASE WHEN %(settles)s THEN pending.id END, counted.legs, %(environment)s, %(merchant_id)s, %(currency)s,
        %(payment_id)s, %(source)s, %(is_opening)s, %(fee_basis)s::jsonb, (now() AT TIME ZONE 'UTC')::date
    FROM (SELECT count(*) AS legs FROM legs) AS counted LEFT JOIN inverted AS pending ON true
    WHERE counted.legs > 0
    RETURNING id
), queued AS (
    INSERT INTO ledger_rollup_queue (transfer_id) SELECT id FROM transfer
){f", {rows}" if rows else ""}
INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
SELECT transfer.id, row_number() OVER (), legs.account_id, legs.phase, legs.direction, legs.amount_minor
FROM legs CROSS JOIN transfer
"""  # noqa: S608 - of constants


def post_transfer(transfer: Transfer, *, rows: Sequence[Model] = ()) -> None:
    """Posts the transfer, and inserts `rows` of other tables with the same statement. Raises `IntegrityError` when the
    event was posted before."""
    assert connection.in_atomic_block, "a transfer is posted in the transaction of its event"
    subject = transfer.subject
    # Ordered, so that transactions that open the same accounts cannot deadlock.
    legs = sorted(transfer.legs, key=lambda leg: leg.account.id)
    is_pending = transfer.kind == TransferKind.PENDING
    settles = transfer.kind in (TransferKind.POST, TransferKind.VOID)
    inserts = build_inserts(rows)
    statement = _build_statement(
        inverts=transfer.inverts is not None, counts=bool(transfer.sequence_after), rows=inserts.sql
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                **inserts.params,
                "id": uuid7(),
                "event": transfer.event.value,
                "subject_id": subject.id,
                "sequence": transfer.sequence,
                "sequence_after": [event.value for event in transfer.sequence_after],
                "kind": transfer.kind.value,
                "settles": settles,
                "inverts": transfer.inverts.value if transfer.inverts else None,
                "inverted_phase": (EntryPhase.PENDING if settles else EntryPhase.POSTED).value,
                "phase": (EntryPhase.PENDING if is_pending else EntryPhase.POSTED).value,
                "environment": subject.environment,
                "merchant_id": subject.merchant_id,
                "currency": subject.currency,
                "payment_id": subject.payment_id,
                "source": subject.source,
                "is_opening": transfer.is_opening,
                "fee_basis": None if transfer.fee_basis is None else json.dumps(transfer.fee_basis),
                # As one JSON value: psycopg writes an array in Python, element by element.
                "legs": json.dumps([_build_leg_row(leg) for leg in legs]),
            },
        )
    mark_inserted(rows)


def _build_leg_row(leg: Leg) -> dict[str, Any]:
    account = leg.account
    return {
        "account_id": str(account.id),
        "account_kind": account.kind.value,
        "environment": account.environment,
        "currency": account.currency,
        "merchant_id": None if account.merchant_id is None else str(account.merchant_id),
        "channel": account.channel,
        "channel_account_id": None if account.channel_account_id is None else str(account.channel_account_id),
        "direction": leg.direction.value,
        "amount_minor": leg.amount_minor,
    }

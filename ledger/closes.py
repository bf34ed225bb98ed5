"""Closes days: signs the digest of a day's entries, and verifies the chain of all closed days.

Each row contains the digest of the day before, so a person who changes a closed day would have to change every later
row as well, and to know KEYED_HASH_SECRET to sign them. Each row names its secret, so that the setting can be rotated.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Min, TextField
from django.db.models.functions import Cast

from common.clock import database_now
from common.crypto import equals_in_constant_time, keyed_hash
from ledger.models import DailyClose, EntryDirection, EntryPhase, LedgerAccount, LedgerTransfer, TransferEntry

log = structlog.get_logger(__name__)

PURPOSE = "ledger.daily_close"
# How long after midnight a day is closed at the earliest. A transfer that commits later than this into a closed day is
# reported by `--verify`.
CLOSE_DELAY = dt.timedelta(minutes=10)
_ONE_DAY = dt.timedelta(days=1)
_CHUNK_SIZE = 5_000
_KEY_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ChainKey:
    """Each environment and currency has a chain of its own."""

    environment: str
    currency: str


@dataclass(frozen=True, slots=True)
class DayDigest:
    transfer_count: int
    posted_minor: int
    entries_digest: str


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """A defect of a closed day."""

    day: dt.date
    chain: ChainKey
    problem: str

    def __str__(self) -> str:
        return f"{self.day} {self.chain.environment} {self.chain.currency}: {self.problem}"


def close_days() -> list[DailyClose]:
    """Closes every day that is over, oldest first: in each chain from its first transfer, or its last close, on."""
    last_day = (database_now() - CLOSE_DELAY).astimezone(dt.UTC).date() - _ONE_DAY
    return [close for chain in _list_chains() for close in _close_chain(chain, last_day)]


def verify_days() -> list[ChainBreak]:
    """Compares every closed day with the ledger as it is now, and with the day before."""
    return [problem for chain in _list_chains() for problem in _verify_chain(chain)]


def _list_chains() -> list[ChainKey]:
    """Read from the accounts, which are few."""
    found = LedgerAccount.objects.order_by("environment", "currency").values_list("environment", "currency")
    return [ChainKey(*each) for each in found.distinct()]


def _close_chain(chain: ChainKey, last_day: dt.date) -> Iterator[DailyClose]:
    closes = DailyClose.objects.filter(environment=chain.environment, currency=chain.currency)
    closed = closes.aggregate(day=Max("day"))["day"]
    day = closed + _ONE_DAY if closed else _get_first_day(chain)
    while day is not None and day <= last_day:
        close = _close_day(chain, day)
        # Logs leave the host: a digest that was logged shows a chain that was written anew.
        log.info("ledger.day_closed", close=str(close), chain_digest=close.chain_digest)
        yield close
        day += _ONE_DAY


def _get_first_day(chain: ChainKey) -> dt.date | None:
    """The day of the first account, or of an earlier transfer: of two transactions around midnight, the later one may
    have opened the account."""
    accounts = LedgerAccount.objects.filter(environment=chain.environment, currency=chain.currency)
    opened_at: dt.datetime | None = accounts.aggregate(at=Min("created_at"))["at"]
    if opened_at is None:
        return None
    opened_day = opened_at.astimezone(dt.UTC).date()
    earlier = LedgerTransfer.objects.filter(
        environment=chain.environment, currency=chain.currency, day__lt=opened_day
    )
    first_day: dt.date | None = earlier.aggregate(day=Min("day"))["day"]
    return first_day or opened_day


@transaction.atomic
def _close_day(chain: ChainKey, day: dt.date) -> DailyClose:
    """The unique constraint lets one of two processes close the day."""
    digest = _digest_day(chain, day)
    previous = DailyClose.objects.filter(
        environment=chain.environment, currency=chain.currency, day=day - _ONE_DAY
    ).first()
    previous_digest = previous.chain_digest if previous else ""
    chain_digest = _compute_chain_digest(chain, day, digest, previous_digest)
    close: DailyClose = DailyClose.objects.create(
        day=day,
        environment=chain.environment,
        currency=chain.currency,
        transfer_count=digest.transfer_count,
        posted_minor=digest.posted_minor,
        entries_digest=digest.entries_digest,
        previous_digest=previous_digest,
        chain_digest=chain_digest,
        signature=keyed_hash(chain_digest.encode(), purpose=PURPOSE),
        key_id=_compute_key_id(settings.KEYED_HASH_SECRET),
    )
    return close


def _compute_key_id(secret: str) -> str:
    """Names the secret, and reveals nothing of it."""
    return keyed_hash(b"key id", purpose=PURPOSE, secret=secret)[:_KEY_ID_LENGTH]


def _digest_day(chain: ChainKey, day: dt.date) -> DayDigest:
    """Reads the day's entries in chunks, so that memory does not grow with the day."""
    entries = (
        TransferEntry.objects.filter(
            transfer__day=day, transfer__environment=chain.environment, transfer__currency=chain.currency
        )
        .order_by("transfer_id", "leg")
        .values_list(
            "transfer_id",
            "transfer__event",
            "transfer__subject_id",
            "transfer__sequence",
            "transfer__kind",
            "transfer__pending_id",
            Cast("transfer__fee_basis", TextField()),
            "leg",
            "account_id",
            "phase",
            "direction",
            "amount_minor",
        )
    )
    digest, transfers, posted_minor, last_id = hashlib.sha256(), 0, 0, None
    for entry in entries.iterator(chunk_size=_CHUNK_SIZE):
        digest.update("|".join(map(str, entry)).encode() + b"\n")
        transfers += entry[0] != last_id
        last_id = entry[0]
        if entry[-3:-1] == (EntryPhase.POSTED, EntryDirection.DEBIT):
            posted_minor += entry[-1]
    return DayDigest(transfers, posted_minor, digest.hexdigest())


def _compute_chain_digest(chain: ChainKey, day: dt.date, digest: DayDigest, previous_digest: str) -> str:
    content = [
        day.isoformat(),
        chain.environment,
        chain.currency,
        digest.transfer_count,
        digest.posted_minor,
        digest.entries_digest,
        previous_digest,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _verify_chain(chain: ChainKey) -> Iterator[ChainBreak]:
    previous: DailyClose | None = None
    closes = DailyClose.objects.filter(environment=chain.environment, currency=chain.currency)
    for close in closes.order_by("day"):
        expected = previous.day + _ONE_DAY if previous else _get_first_day(chain)
        if close.day != expected:
            yield ChainBreak(close.day, chain, f"the day before it is not closed, or has changed: {expected}")
        if close.previous_digest != (previous.chain_digest if previous else ""):
            yield ChainBreak(close.day, chain, "it does not continue the day before")
        yield from (ChainBreak(close.day, chain, problem) for problem in _find_problems(chain, close))
        previous = close


def _find_problems(chain: ChainKey, close: DailyClose) -> Iterator[str]:
    recorded = DayDigest(close.transfer_count, close.posted_minor, close.entries_digest)
    current = _digest_day(chain, close.day)
    if current != recorded:
        yield (
            f"the entries have changed: {current.transfer_count} transfers of {current.posted_minor}, closed with "
            f"{recorded.transfer_count} of {recorded.posted_minor}"
        )
    if close.chain_digest != _compute_chain_digest(chain, close.day, recorded, close.previous_digest):
        yield "the record of the close has changed"
    secrets = (settings.KEYED_HASH_SECRET, *settings.KEYED_HASH_OLD_SECRETS)
    secret = next((each for each in secrets if _compute_key_id(each) == close.key_id), None)
    if secret is None:
        yield f"its secret ({close.key_id}) is neither KEYED_HASH_SECRET nor one of KEYED_HASH_OLD_SECRETS"
    elif not equals_in_constant_time(
        close.signature, keyed_hash(close.chain_digest.encode(), purpose=PURPOSE, secret=secret)
    ):
        yield "the signature is wrong"

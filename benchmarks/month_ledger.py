"""Loads the payments of a month by COPY: payments, refunds and disputes, and the ledger's rows that the platform would
have posted for them. tests/settlements/test_month.py compares these rows with those of payments made through the API.

Without triggers and references, which a load does not need; the integrity checks look at the rows afterwards.
"""

import datetime as dt
import functools
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from benchmarks.month_payments import MonthPayment, Movement, list_movements
from fees.formula import Rate, RefundRule, Terms, Tier, compute_fee, compute_returned_fee
from ledger.chart import AccountIdentity
from ledger.chart import LedgerAccountKind as Kind
from tests.support.triggers import without_triggers

CHUNK = 20_000
FEE_RULE = RefundRule.PROPORTIONAL
_COLUMNS: Mapping[str, str] = {
    "payments": "id, payment_no, merchant_id, environment, order_id, order_no, amount_minor, currency, status, channel,"
    " sandbox, capture_method, subject, body, callback_url, return_url, customer, metadata, channel_reference,"
    " channel_trade_no, payment_url, captured_minor, refunded_minor, refund_pending_minor, disputed_minor,"
    " failure_code, failure_message, needs_attention, attention_reason, check_count, expires_at, paid_at, created_at,"
    " updated_at",
    "refunds": "id, refund_no, payment_id, merchant_id, environment, amount_minor, currency, reason, status, channel,"
    " channel_refund_no, failure_code, failure_message, check_count, created_at, updated_at, settled_at",
    "disputes": "id, dispute_no, payment_id, merchant_id, environment, channel, channel_dispute_no, amount_minor,"
    " currency, reason, channel_reason, stage, status, blocked_minor, created_at, updated_at",
    "ledger_transfers": "id, event, subject_id, sequence, kind, pending_id, leg_count, environment, merchant_id,"
    " currency, payment_id, source, is_opening, fee_basis, day, created_at",
    "ledger_entries": "transfer_id, leg, account_id, phase, direction, amount_minor",
    "ledger_rollup_queue": "transfer_id",
}
_OPEN_ACCOUNT = """
INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel, created_at)
VALUES (%s, %s, %s, %s, %s, %s, '2026-10-01') ON CONFLICT DO NOTHING
"""
_Signed = tuple[uuid.UUID, int]  # the account, and the amount: a debit is positive


@functools.cache
def build_terms() -> Terms:
    """The plan of the first merchant, in every currency of the month."""
    rates = [
        Rate(currency=currency, tiers=(Tier(0, 29_000),), fixed_minor=30)
        for currency in ("USD", "EUR", "CNY")
    ]
    return Terms(rates, FEE_RULE)


@dataclass(frozen=True, slots=True)
class Month:
    """Whose payments they are. `plan_version` is that of the first merchant: the others have none."""

    environment: str
    merchant_ids: Sequence[uuid.UUID]
    plan_version: uuid.UUID | None


def load(month: Month, payments: Iterator[MonthPayment]) -> int:
    """Returns how many payments there were."""
    count, rows, accounts = 0, _Rows(month), set[AccountIdentity]()
    for payment in payments:
        rows.add(payment)
        count += 1
        if count % CHUNK == 0:
            _copy(rows)
            accounts |= rows.accounts
            rows = _Rows(month)
    _copy(rows)
    _open_accounts(accounts | rows.accounts)
    return count


def _copy(rows: "_Rows") -> None:
    with without_triggers():
        for table, lines in rows.lines.items():
            with (
                connection.connection.cursor() as cursor,
                cursor.copy(f"COPY {table} ({_COLUMNS[table]}) FROM STDIN") as copy,
            ):
                copy.write("".join(lines))


def _open_accounts(accounts: set[AccountIdentity]) -> None:
    with without_triggers() as cursor:
        for each in accounts:
            cursor.execute(
                _OPEN_ACCOUNT,
                [each.id, each.kind.value, each.environment, each.currency, each.merchant_id, each.channel],
            )


class _Rows:
    """The rows of some payments, as COPY reads them."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.accounts: set[AccountIdentity] = set()
        self._ids: dict[tuple[Kind, str, str, uuid.UUID], uuid.UUID] = {}

    def open_account(self, kind: Kind, currency: str, channel: str, merchant_id: uuid.UUID) -> uuid.UUID:
        """Returns the id of the account, which `load` opens."""
        place = kind, currency, channel, merchant_id
        if place not in self._ids:
            is_platform = kind in (Kind.CHANNEL_RECEIVABLE, Kind.FEE_INCOME)
            owner = None if is_platform else merchant_id
            account = AccountIdentity(kind, self._month.environment, currency, owner, channel, None)
            self.accounts.add(account)
            self._ids[place] = account.id
        return self._ids[place]

    def add(self, payment: MonthPayment) -> None:
        posting = _Posting(self, self._month, payment)
        for movement in list_movements(payment):
            posting.post(movement)
        if payment.story == "refund failed":
            posting.fail_refund()
        posting.store_payment()

    def write(self, table: str, *values: Any) -> None:
        texts = ("\\N" if value is None else str(value) for value in values)
        self.lines[table].append("\t".join(texts) + "\n")


class _Posting:
    """The transfers of one payment."""

    def __init__(self, rows: _Rows, month: Month, payment: MonthPayment) -> None:
        self._rows, self._month, self._payment = rows, month, payment
        self._id = self._build_id(0, payment.paid_at)
        self._merchant_id = month.merchant_ids[payment.merchant]
        self._has_plan = payment.merchant == 0 and month.plan_version is not None
        self._captured_minor = self._refunded_minor = self._fee_minor = self._returned_minor = 0
        self._rate: Rate | None = None
        self._disputed_minor = 0
        self._refunds: dict[int, uuid.UUID] = {}
        self._dispute_id = self._build_id(9, payment.paid_at)

    def post(self, movement: Movement) -> None:
        match movement.event:
            case "payment.captured" | "payment.late":
                self._post_payment(movement)
            case "refund.succeeded":
                self._post_refund(movement)
            case "refund.reversed":
                self._reverse_refund(movement)
            case _:
                self._post_dispute(movement)

    def _post_payment(self, movement: Movement) -> None:
        payment, basis = self._payment, None
        self._captured_minor = payment.amount_minor
        if self._has_plan and movement.event == "payment.captured":
            terms = build_terms()
            number = terms.find_rate(currency=payment.currency, channel=payment.channel, payment_method="")
            assert number is not None
            self._rate = terms.rates[number]
            self._fee_minor = compute_fee(
                self._rate, amount_minor=payment.amount_minor, volume_before_minor=0
            )
            basis = {
                "plan_version": str(self._month.plan_version),
                "rate_number": number,
                "rate": self._rate.as_json(),
                "refund_rule": FEE_RULE.value,
                "volume_before_minor": 0,
                "captured_minor": payment.amount_minor,
                "fee_minor": self._fee_minor,
            }
        legs = [*self._move(Kind.CHANNEL_RECEIVABLE, Kind.MERCHANT_PAYABLE, payment.amount_minor)]
        legs += self._move(Kind.PLATFORM_FEES, Kind.FEE_INCOME, self._fee_minor)
        self._write_transfer(
            movement.event,
            self._id,
            legs,
            movement.learned_at,
            sequence=payment.amount_minor,
            fee_basis=basis,
        )

    def _post_refund(self, movement: Movement) -> None:
        amount_minor = -movement.amount_minor
        refund_id, pending_id = self._request_refund(movement.number, amount_minor, movement)
        is_returned_later = self._payment.story == "refund returned"
        self._store_refund(refund_id, movement, amount_minor, "failed" if is_returned_later else "succeeded")
        self._refunded_minor += amount_minor
        self._refunds[movement.number] = refund_id
        returned = self._compute_returned_fee()
        self._returned_minor += returned
        legs = [*self._move(Kind.REFUNDS, Kind.CHANNEL_RECEIVABLE, amount_minor)]
        legs += self._move(Kind.FEE_INCOME, Kind.PLATFORM_FEES, returned)
        self._write_transfer(
            "refund.succeeded",
            refund_id,
            legs,
            movement.learned_at,
            kind="post",
            pending_id=pending_id,
            released=self._move(Kind.CHANNEL_RECEIVABLE, Kind.REFUNDS, amount_minor),
            source=self._payment.name_refund(movement.number),
        )

    def _compute_returned_fee(self) -> int:
        if self._rate is None:
            return 0
        return compute_returned_fee(
            self._rate,
            FEE_RULE,
            fee_minor=self._fee_minor,
            returned_before_minor=self._returned_minor,
            captured_minor=self._captured_minor,
            refunded_minor=self._refunded_minor,
        )

    def _reverse_refund(self, movement: Movement) -> None:
        amount_minor = movement.amount_minor
        legs = [*self._move(Kind.CHANNEL_RECEIVABLE, Kind.REFUNDS, amount_minor)]
        legs += self._move(Kind.PLATFORM_FEES, Kind.FEE_INCOME, self._returned_minor)
        self._write_transfer(
            "refund.reversed",
            self._refunds[movement.number],
            legs,
            movement.learned_at,
            sequence=1,
            source=self._payment.name_refund(movement.number),
        )
        self._refunded_minor -= amount_minor

    def fail_refund(self) -> None:
        at = self._payment.paid_at + dt.timedelta(hours=3)
        movement = Movement("refund.failed", "refund", 1, -self._payment.amount_minor, at, at)
        amount_minor = self._payment.amount_minor
        refund_id, pending_id = self._request_refund(1, amount_minor, movement)
        self._store_refund(refund_id, movement, amount_minor, "failed")
        self._write_transfer(
            "refund.failed",
            refund_id,
            [],
            at,
            kind="void",
            pending_id=pending_id,
            released=self._move(Kind.CHANNEL_RECEIVABLE, Kind.REFUNDS, amount_minor),
            source=self._payment.name_refund(1),
        )

    def _post_dispute(self, movement: Movement) -> None:
        amount_minor = -movement.amount_minor
        is_withdrawn = amount_minor > 0
        legs = self._move(Kind.DISPUTES, Kind.CHANNEL_RECEIVABLE, amount_minor)
        self._write_transfer(
            movement.event,
            self._dispute_id,
            legs,
            movement.learned_at,
            sequence=0 if is_withdrawn else 1,
            source=self._payment.dispute_no,
        )
        self._disputed_minor += amount_minor
        if is_withdrawn:
            self._store_dispute(amount_minor, movement.learned_at)

    def _request_refund(
        self, number: int, amount_minor: int, movement: Movement
    ) -> tuple[uuid.UUID, uuid.UUID]:
        refund_id = self._build_id(10 + number, movement.moved_at)
        pending_id = self._write_transfer(
            "refund.requested",
            refund_id,
            self._move(Kind.REFUNDS, Kind.CHANNEL_RECEIVABLE, amount_minor),
            movement.moved_at,
            kind="pending",
            source=self._payment.name_refund(number),
        )
        return refund_id, pending_id

    def _write_transfer(
        self,
        event: str,
        subject_id: uuid.UUID,
        legs: Sequence[_Signed],
        at: dt.datetime,
        *,
        kind: str = "single",
        sequence: int = 0,
        pending_id: uuid.UUID | None = None,
        released: Sequence[_Signed] = (),
        source: str = "",
        fee_basis: Mapping[str, Any] | None = None,
    ) -> uuid.UUID:
        """`released` are the pending entries the other way round."""
        payment, rows = self._payment, self._rows
        transfer_id = uuid.uuid5(subject_id, f"{event} {sequence}")
        phase = "pending" if kind == "pending" else "posted"
        entries = [(account, signed, phase) for account, signed in sorted(legs, key=_by_account)]
        entries += [(account, signed, "pending") for account, signed in sorted(released, key=_by_account)]
        rows.write(
            "ledger_transfers", transfer_id, event, subject_id, sequence, kind, pending_id, len(entries),
            self._month.environment, self._merchant_id, payment.currency, self._id, source or payment.payment_no,
            "f", None if fee_basis is None else json.dumps(fee_basis), at.date(), at,
        )  # fmt: skip
        rows.write("ledger_rollup_queue", transfer_id)
        for leg, (account, signed, of_phase) in enumerate(entries, start=1):
            direction = "debit" if signed > 0 else "credit"
            rows.write("ledger_entries", transfer_id, leg, account, of_phase, direction, abs(signed))
        return transfer_id

    def _move(self, debited: Kind, credited: Kind, amount_minor: int) -> list[_Signed]:
        if amount_minor == 0:
            return []
        return [(self._account(debited), amount_minor), (self._account(credited), -amount_minor)]

    def _account(self, kind: Kind) -> uuid.UUID:
        payment = self._payment
        return self._rows.open_account(kind, payment.currency, payment.channel, self._merchant_id)

    def store_payment(self) -> None:
        payment, at = self._payment, self._payment.paid_at
        status = "cancelled" if payment.story == "late" else "succeeded"
        self._rows.write(
            "payments", self._id, payment.payment_no, self._merchant_id, self._month.environment, self._id,
            f"ORDER-{payment.number}", payment.amount_minor, payment.currency, status, payment.channel, "f",
            "automatic", "Coffee", "", "", "", "{}", "{}", payment.payment_no, payment.trade_no, "",
            self._captured_minor, self._refunded_minor, 0, self._disputed_minor, "", "", "f", "", 0, at, at, at, at,
        )  # fmt: skip

    def _store_refund(self, refund_id: uuid.UUID, movement: Movement, amount_minor: int, status: str) -> None:
        payment, at = self._payment, movement.learned_at
        self._rows.write(
            "refunds", refund_id, payment.name_refund(movement.number), self._id, self._merchant_id,
            self._month.environment, amount_minor, payment.currency, "", status, payment.channel,
            payment.name_refund_at_channel(movement.number), "", "", 0, at, at, at,
        )  # fmt: skip

    def _store_dispute(self, amount_minor: int, at: dt.datetime) -> None:
        payment, is_won = self._payment, self._payment.story == "dispute won"
        self._rows.write(
            "disputes", self._dispute_id, payment.dispute_no, self._id, self._merchant_id,
            self._month.environment, payment.channel, payment.dispute_no_at_channel, amount_minor, payment.currency,
            "fraudulent", "fraudulent", "chargeback", "won" if is_won else "lost",
            0 if is_won else amount_minor, at, at,
        )  # fmt: skip

    def _build_id(self, place: int, at: dt.datetime) -> uuid.UUID:
        """As `uuid7` makes them: in the order of time."""
        milliseconds = int(at.timestamp() * 1000)
        environment = self._month.environment == "live"
        return uuid.UUID(
            int=milliseconds << 80
            | 7 << 76
            | place << 68
            | environment << 64
            | 2 << 62
            | self._payment.number
        )


def _by_account(leg: _Signed) -> uuid.UUID:
    """The order in which the platform writes legs."""
    return leg[0]

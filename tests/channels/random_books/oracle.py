"""Computes what the ledger and the payments must have, from the channels' records, bank files and merchants' terms.

Shares no code with the platform: it reads single rows and adds them up here. Of the ledger it takes the order in which
the platform learned of captures and refunds, because fees depend on it.
"""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gateway.models import Payment, Refund
from ledger.models import LedgerTransfer, TransferEntry
from sagas.models import SagaInstance
from tests.channels.random_books.world import World
from tests.support.shop import get_payment

MERCHANT_KINDS = ("merchant_payable", "refunds", "disputes", "platform_fees", "payouts")


def find_differences(world: World) -> list[str]:
    """Returns all differences between saga history, payments, ledger, statements and banks, to the cent."""
    entries = read_entries()
    return [
        *compare_payments(world, entries),
        *compare_sagas(),
        *compare_merchants(world, entries),
        *compare_receivables(world, entries),
        *compare_bank(world, entries),
    ]


def read_entries() -> list[dict[str, Any]]:
    """Returns all posted entries. `signed` is positive for a debit."""
    rows = TransferEntry.objects.filter(phase="posted").values(
        "amount_minor",
        "direction",
        "account__kind",
        "account__currency",
        "account__channel",
        "transfer__payment_id",
        "transfer__merchant_id",
        "transfer__event",
    )
    return [
        {**row, "signed": row["amount_minor"] if row["direction"] == "debit" else -row["amount_minor"]}
        for row in rows
    ]


def compare_payments(world: World, entries: list[dict[str, Any]]) -> list[str]:
    """Compares each payment in the channel's records, in the API and in the ledger."""
    taken, back, disputed = (defaultdict[str, int](int) for _ in range(3))
    for book in world.books.values():
        for each in book.movements:
            if each.kind == "payment":
                taken[each.payment_no] += each.amount_minor
            elif each.kind.startswith("refund"):
                back[each.payment_no] -= each.amount_minor
            else:
                disputed[each.payment_no] -= each.amount_minor
    held: dict[uuid.UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        if entry["transfer__payment_id"] and not entry["transfer__event"].startswith(
            ("channel.", "statement.")
        ):
            held[entry["transfer__payment_id"]][entry["account__kind"]] += entry["signed"]
    wrong = []
    for sale in world.sales:
        row = Payment.objects.get(payment_no=sale.payment_no)
        shown, ledger = get_payment(sale.shop.client, sale.body), held[row.pk]
        number = sale.payment_no
        at_channel = taken[number] - back[number] - disputed[number]
        excess = max(0, back[number] + disputed[number] - taken[number])
        facts = {
            "captured": (taken[number], shown["captured_amount"]),
            "captured, ledger": (taken[number], -ledger["merchant_payable"]),
            "at the channel, ledger": (at_channel, ledger["channel_receivable"]),
            "refunded and disputed, ledger": (
                back[number] + disputed[number],
                ledger["refunds"] + ledger["disputes"] + ledger["suspense"],
            ),
            "pending refunds": (0, row.refund_pending_minor),
        }
        # A refund that does not fit is in suspense as a whole.
        is_right = excess <= ledger["suspense"] and (excess == 0) == (ledger["suspense"] == 0)
        if not is_right and not world.was_charged(number):
            wrong.append(f"{number}: {ledger['suspense']} in suspense, the excess is {excess}")
        wrong += [
            f"{number}: {name} {left}, not {right}" for name, (left, right) in facts.items() if left != right
        ]
    return wrong


def compare_sagas() -> list[str]:
    """Compares each refund with its saga: a completed saga means a refund at the channel, a compensated one means
    none."""
    wrong = []
    ends = {"completed": ("succeeded", "failed"), "compensated": ("failed",)}
    for saga in SagaInstance.objects.filter(definition="refund.create"):
        refund = Refund.objects.get(refund_no=saga.business_id)
        events = list(LedgerTransfer.objects.filter(subject_id=refund.pk).values_list("event", flat=True))
        if refund.status not in ends.get(saga.status, ()):
            wrong.append(f"{refund.refund_no} is {refund.status}, its saga {saga.status}")
        if saga.status == "completed" and "refund.succeeded" not in events:
            wrong.append(f"{refund.refund_no}: its saga is completed, the ledger has {events}")
        if saga.metadata["amount_minor"] != refund.amount_minor:
            wrong.append(f"{refund.refund_no}: its saga gave back {saga.metadata['amount_minor']}")
    for saga in SagaInstance.objects.exclude(definition="refund.create").filter(
        definition__startswith="payment."
    ):
        if saga.status not in ("completed", "compensated", "failed"):
            wrong.append(f"{saga.definition} {saga.business_id} is {saga.status}")
    return wrong


def compare_merchants(world: World, entries: list[dict[str, Any]]) -> list[str]:
    """Compares each merchant's balance in each currency: payments less refunds, disputes, fees and payouts."""
    owner = {sale.payment_no: sale.shop.merchant.merchant.pk for sale in world.sales}
    expected: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
    for book in world.books.values():
        for each in book.movements:
            expected[owner[each.payment_no], each.currency] += each.amount_minor
    fees = compute_fees(world)
    for place, fee in fees.items():
        expected[place] -= fee
    for paid in world.paid_out.values():
        expected[paid.merchant_id, paid.currency] -= paid.amount_minor - paid.returned_minor
    found: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
    charged: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
    for entry in entries:
        place = entry["transfer__merchant_id"], entry["account__currency"]
        if entry["account__kind"] in MERCHANT_KINDS or (entry["account__kind"] == "suspense" and place[0]):
            found[place] -= entry["signed"]
        if entry["account__kind"] == "platform_fees":
            charged[place] += entry["signed"]
    wrong = [
        f"fees of {place}: {fees.get(place, 0)}, in the ledger {charged.get(place, 0)}"
        for place in fees.keys() | charged.keys()
        if fees.get(place, 0) != charged.get(place, 0)
    ]
    return wrong + [
        f"{place}: {expected.get(place, 0)}, in the ledger {found.get(place, 0)}"
        for place in expected.keys() | found.keys()
        if expected.get(place, 0) != found.get(place, 0)
    ]


def compare_receivables(world: World, entries: list[dict[str, Any]]) -> list[str]:
    """Compares the channels' receivables with the statements, gross less fees and payouts. All cases are booked."""
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for statement in world.statements:
        for currency, gross in statement.gross_minor.items():
            expected[statement.channel, currency] += gross
        for moved in (statement.fee_minor, statement.paid_minor):
            for currency, amount in moved.items():
                expected[statement.channel, currency] -= amount
    found: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        if entry["account__kind"] == "channel_receivable":
            found[entry["account__channel"], entry["account__currency"]] += entry["signed"]
    return [
        f"{place}: {expected.get(place, 0)} by the statements, in the ledger {found.get(place, 0)}"
        for place in expected.keys() | found.keys()
        if expected.get(place, 0) != found.get(place, 0)
    ]


def compare_bank(world: World, entries: list[dict[str, Any]]) -> list[str]:
    """Compares the bank account: payouts of channels less payouts to merchants."""
    expected: dict[str, int] = defaultdict(int)
    for statement in world.statements:
        for currency, amount in statement.paid_minor.items():
            expected[currency] += amount
    for paid in world.paid_out.values():
        expected[paid.currency] -= paid.amount_minor - paid.returned_minor
    found: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry["account__kind"] == "platform_bank":
            found[entry["account__currency"]] += entry["signed"]
    return [
        f"bank {currency}: {expected.get(currency, 0)}, in the ledger {found.get(currency, 0)}"
        for currency in expected.keys() | found.keys()
        if expected.get(currency, 0) != found.get(currency, 0)
    ]


# --- Fees, by docs/FEES.md -------------------------------------------------------------------------------------


def compute_fees(world: World) -> dict[tuple[uuid.UUID, str], int]:
    """Computes the fees of each merchant and currency, by the terms that were valid, in the order of the transfers."""
    today = dt.datetime.now(dt.UTC)
    total: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
    shops = {sale.payment_no: sale.shop for sale in world.sales}
    state: dict[uuid.UUID, dict[str, Any]] = {}
    captures: list[tuple[dt.date, uuid.UUID, str, int]] = []
    history = LedgerTransfer.objects.exclude(payment_id=None).order_by("created_at", "id")
    payments = Payment.objects.in_bulk({each.payment_id for each in history})
    for each in history:
        payment = payments[each.payment_id]
        shop, place = shops[payment.payment_no], (payment.merchant_id, payment.currency)
        known = state.setdefault(
            payment.pk, {"captured": 0, "fee": 0, "refunded": 0, "returned": 0, "given": {}}
        )
        if each.event in ("payment.captured", "payment.late"):
            amount = each.sequence - known["captured"]
            if each.event == "payment.captured":
                if not known["captured"]:
                    known["terms"] = world.find_terms(shop, each.created_at)
                    known["volume"] = sum(
                        minor
                        for day, *owner, minor in captures
                        # At each capture the day was the real today; `pass_day` has moved both days since then.
                        if owner == list(place) and (each.day - day).days < today.day
                    )
                fee = compute_fee(known["terms"], payment.currency, each.sequence, known["volume"])
                total[place] += fee - known["fee"]
                known["fee"] = fee
            known["captured"] = each.sequence
            captures.append((each.day, *place, amount))
        elif each.event in ("refund.succeeded", "refund.completed"):
            amount = sum_refunds(each)
            known["refunded"] += amount
            back = max(0, compute_share(known, payment.currency) - known["returned"])
            known["returned"] += back
            known["given"][each.subject_id] = known["given"].get(each.subject_id, 0) + back, amount
            total[place] -= back
        elif each.event == "refund.reversed":
            back, amount = known["given"].pop(each.subject_id)
            known["refunded"], known["returned"] = known["refunded"] - amount, known["returned"] - back
            total[place] += back
    return total


def sum_refunds(transfer: LedgerTransfer) -> int:
    """Returns the amount of the refund."""
    return Refund.objects.values_list("amount_minor", flat=True).get(pk=transfer.subject_id)


def compute_fee(terms: Mapping[str, Any] | None, currency: str, amount: int, volume: int) -> int:
    rate = find_rate(terms, currency)
    if rate is None:
        return 0
    part, tiers = Fraction(0), rate["tiers"]
    for number, tier in enumerate(tiers):
        end = tiers[number + 1]["from_minor"] if number + 1 < len(tiers) else None
        begin = max(volume, tier["from_minor"])
        until = volume + amount if end is None else min(volume + amount, end)
        part += Fraction(max(0, until - begin) * tier["rate_millionths"], 1_000_000)
    fee = max(round_half_up(part) + rate["fixed_minor"], rate["minimum_minor"])
    if rate["maximum_minor"] is not None:
        fee = min(fee, rate["maximum_minor"])
    return min(fee, amount)


def compute_share(known: Mapping[str, Any], currency: str) -> int:
    """Returns the part of the fee that all refunds together return."""
    terms = known.get("terms")
    rate = find_rate(terms, currency)
    if terms is None or rate is None or terms["refund_rule"] == "keep":
        return 0
    kept = min(rate["fixed_minor"], known["fee"]) if terms["refund_rule"] == "keep_fixed" else 0
    refunded = min(known["refunded"], known["captured"])
    return round_half_up(Fraction((known["fee"] - kept) * refunded, known["captured"]))


def find_rate(terms: Mapping[str, Any] | None, currency: str) -> Mapping[str, Any] | None:
    if terms is None:
        return None
    return next((rate for rate in terms["rates"] if rate["currency"] == currency), None)


def round_half_up(value: Fraction) -> int:
    return int((2 * value + 1) // 2)

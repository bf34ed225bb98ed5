"""The checks of the lab find lost and doubled payments and refunds."""

import dataclasses

import pytest

from scripts.lab.checking import LabVerdict, RecordedBooks, RecordedPayment, Taken, add_up, compare
from scripts.lab.client import Outcome

AGAIN = RecordedPayment("PAY-2", "LAB-1", "pending", amount=100, captured=0, refunded=0)
PAID = RecordedPayment("PAY-1", "LAB-1", "succeeded", amount=100, captured=100, refunded=30)
BOOKS = RecordedBooks([PAID], frozenset({"REF-1"}), {"PAY-1": Taken(100, 30)})


def payment() -> Outcome:
    body = {"order_no": "LAB-1", "amount": 100}
    return _confirmed("payment", "PAY-1", body, paid_at=3.0)


def refund() -> Outcome:
    return _confirmed("refund", "REF-1", {"payment_no": "PAY-1", "amount": 30})


def _confirmed(kind: str, number: str, body: dict[str, object], paid_at: float | None = None) -> Outcome:
    return Outcome(
        client=0,
        kind=kind,
        channel="simulator",
        path="/",
        body=body,
        answered_at=2.0,
        status=200,
        number=number,
        paid_at=paid_at,
    )


def judge(books: RecordedBooks, *outcomes: Outcome) -> LabVerdict:
    verdict = LabVerdict()
    compare(outcomes or (payment(), refund()), books, verdict)
    return verdict


def test_matching_records_are_clean() -> None:
    assert judge(BOOKS).is_clean


@pytest.mark.parametrize(
    ("books", "reason"),
    [
        (dataclasses.replace(BOOKS, payments=[]), "payment PAY-1 of LAB-1 was confirmed"),
        (dataclasses.replace(BOOKS, refund_numbers=frozenset()), "refund REF-1 was confirmed"),
        (
            dataclasses.replace(BOOKS, payments=[dataclasses.replace(PAID, status="failed")]),
            "reported as paid",
        ),
        (
            dataclasses.replace(BOOKS, at_banks={**BOOKS.at_banks, "PAY-9": Taken(5)}),
            "PAY-9 was paid at the bank",
        ),
    ],
)
def test_lost_payments_and_refunds_are_found(books: RecordedBooks, reason: str) -> None:
    assert reason in judge(books).lost[0]


@pytest.mark.parametrize(
    "books",
    [
        dataclasses.replace(BOOKS, payments=[PAID, AGAIN]),
        dataclasses.replace(BOOKS, at_banks={"PAY-1": Taken(200, 30)}),
        dataclasses.replace(BOOKS, payments=[dataclasses.replace(PAID, refunded=60)]),
    ],
    ids=["two payments", "two charges", "two refunds"],
)
def test_doubled_payments_and_refunds_are_found(books: RecordedBooks) -> None:
    assert judge(books).doubled


def test_other_records_at_the_bank_are_found() -> None:
    assert judge(dataclasses.replace(BOOKS, at_banks={"PAY-1": Taken(100, 0)})).inconsistent


def test_movements_of_a_bank() -> None:
    movements = [("A", "charge", 100), ("A", "refund", 30), ("B", "payment", 7), ("B", "fee", 1)]
    assert add_up(movements) == {"A": Taken(100, 30), "B": Taken(7, 0)}

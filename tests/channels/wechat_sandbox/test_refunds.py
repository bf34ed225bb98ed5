"""The rules for refunds: one number refunds once, limits, and the outcomes of an accepted refund."""

from typing import Any

import pytest

from channels.wechat.sandbox import operations, reading
from channels.wechat.sandbox.faults import FaultKind
from tests.channels.wechat_sandbox.conftest import Scene, parsed
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID


def error_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]


def query_refund(scene: Scene, number: str = "refund-1") -> dict[str, Any]:
    return parsed(scene.sdk.query_refund(out_refund_no=number))[1]


def test_the_same_number_refunds_once(scene: Scene) -> None:
    scene.paid()
    first = scene.refund()
    assert scene.refund(reason="again") == first
    assert error_of(scene.refund(amount=101)) == (400, "INVALID_REQUEST")
    assert len(reading.read_books(scene.bank.books).refunds) == 1
    scene.run(seconds=2)
    assert scene.refund()[1]["status"] == "SUCCESS"


def test_the_same_number_cannot_refund_another_order(scene: Scene) -> None:
    scene.paid()
    scene.paid("order-0002")
    scene.refund()
    assert error_of(scene.refund(order="order-0002")) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"out_refund_no": 65 * "a"}, "out_refund_no"),
        ({"out_refund_no": "refund 1"}, "out_refund_no"),
        ({"reason": 81 * "a"}, "reason"),
        ({"amount": {"refund": 0, "total": 1000, "currency": "CNY"}}, "amount/refund"),
        ({"amount": {"refund": 1.0, "total": 1000, "currency": "CNY"}}, "amount/refund"),
        ({"amount": {"refund": 1, "currency": "CNY"}}, "amount/total"),
        ({"amount": {"refund": 1, "total": 1000}}, "amount/currency"),
        ({"amount": {"refund": 1, "total": 1000, "currency": "USD"}}, "amount/currency"),
        ({"notify_url": "http://shop.example/?a"}, "notify_url"),
    ],
)
def test_wrong_parameters_are_refused_by_name(scene: Scene, changes: dict[str, Any], field: str) -> None:
    given = {
        "out_refund_no": "refund-1",
        "out_trade_no": "order-0001",
        "amount": {"refund": 1, "total": 1000, "currency": "CNY"},
    }
    answer = parsed(scene.sdk.refund(**given | changes))
    assert error_of(answer) == (400, "PARAM_ERROR")
    assert answer[1]["detail"]["field"] == field


def test_an_unpaid_order_cannot_be_refunded(scene: Scene) -> None:
    assert error_of(scene.refund()) == (404, "RESOURCE_NOT_EXISTS")
    scene.prepay()
    assert error_of(scene.refund()) == (404, "RESOURCE_NOT_EXISTS")
    assert error_of((404, query_refund(scene))) == (404, "RESOURCE_NOT_EXISTS")


def test_never_more_than_was_paid(scene: Scene) -> None:
    scene.paid()
    assert error_of(scene.refund(amount=1001)) == (400, "INVALID_REQUEST")
    assert error_of(scene.refund(amount=900, total=900)) == (400, "INVALID_REQUEST")
    assert scene.refund(amount=900)[0] == 200
    scene.run(seconds=61)
    assert error_of(scene.refund("refund-2", amount=101)) == (400, "INVALID_REQUEST")
    assert scene.refund("refund-2", amount=100)[0] == 200


def test_refunds_of_one_order_are_a_minute_apart(scene: Scene) -> None:
    scene.paid()
    scene.paid("order-0002")
    scene.refund()
    assert error_of(scene.refund("refund-2")) == (429, "FREQUENCY_LIMITED")
    assert scene.refund("refund-3", order="order-0002")[0] == 200
    scene.run(seconds=61)
    assert scene.refund("refund-2")[0] == 200


def test_at_most_fifty_partial_refunds(scene: Scene) -> None:
    scene.paid()
    for number in range(50):
        assert scene.refund(f"refund-{number}", amount=1)[0] == 200
        scene.bank.advance_clock(61)
    assert error_of(scene.refund("refund-50", amount=1)) == (400, "INVALID_REQUEST")


def test_within_365_days(scene: Scene) -> None:
    scene.paid()
    scene.run(seconds=365 * 86400 - 5)
    assert scene.refund()[0] == 200
    scene.run(seconds=100)
    assert error_of(scene.refund("refund-2")) == (400, "INVALID_REQUEST")


def test_not_enough_money(scene: Scene) -> None:
    """The refund is not created; the same number works when the merchant has money again."""
    scene.paid()
    operations.move_money(scene.bank, FIRST_MCHID, -500)
    assert error_of(scene.refund(amount=1000)) == (403, "NOT_ENOUGH")
    assert query_refund(scene)["code"] == "RESOURCE_NOT_EXISTS"
    operations.move_money(scene.bank, FIRST_MCHID, 500)
    assert scene.refund(amount=1000)[0] == 200


def test_the_fee_goes_back_with_the_money(scene: Scene) -> None:
    scene.paid(total=1234)  # fee 0.60 %: 7.404 fen, so 7
    amounts = (100, 1000, 134)
    for number, amount in enumerate(amounts):
        assert scene.refund(f"refund-{number}", amount=amount, total=1234)[0] == 200
        scene.run(seconds=61)
    books = reading.read_books(scene.bank.books)
    assert [refund.fee for refund in books.refunds] == [0, 6, 1]
    assert sum(entry.amount for entry in books.entries) == 0


@pytest.mark.parametrize(
    ("kind", "status", "balance"),
    [(FaultKind.REFUND_ABNORMAL, "ABNORMAL", -1000), (FaultKind.REFUND_CLOSED, "CLOSED", 0)],
)
def test_an_accepted_refund_may_fail(scene: Scene, kind: FaultKind, status: str, balance: int) -> None:
    scene.paid()
    before = sum(entry.amount for entry in reading.read_books(scene.bank.books).entries)
    scene.plan(kind, number="refund-1")
    assert scene.refund(amount=1000)[1]["status"] == "PROCESSING"
    scene.run(seconds=2)
    assert query_refund(scene)["status"] == status
    notice = scene.notices()[-1]
    assert notice is not None
    assert (notice["event_type"], notice["resource"]["refund_status"]) == (f"REFUND.{status}", status)
    assert "success_time" not in notice["resource"]
    after = sum(entry.amount for entry in reading.read_books(scene.bank.books).entries)
    assert after - before == (balance + 6 if balance else 0)  # of 1000 fen, 6 are the fee


def test_an_abnormal_refund_may_still_succeed_and_a_decided_one_stays(scene: Scene) -> None:
    scene.paid()
    scene.plan(FaultKind.REFUND_ABNORMAL)
    scene.refund()
    scene.run(seconds=2)
    operations.settle_refund(scene.bank, FIRST_MCHID, "refund-1", "SUCCESS")
    operations.settle_refund(scene.bank, FIRST_MCHID, "refund-1", "CLOSED")
    assert query_refund(scene)["status"] == "SUCCESS"


def test_a_closed_refund_frees_its_amount(scene: Scene) -> None:
    scene.paid()
    scene.plan(FaultKind.REFUND_CLOSED)
    scene.refund(amount=1000)
    scene.run(seconds=61)
    assert scene.refund("refund-2", amount=1000)[0] == 200


def test_a_refund_in_the_merchant_platform(scene: Scene) -> None:
    scene.paid()
    refund = operations.refund_in_merchant_platform(scene.bank, FIRST_MCHID, "order-0001", 400)
    scene.run(seconds=61)
    assert query_refund(scene, refund["out_refund_no"])["status"] == "SUCCESS"
    assert len(scene.shop.received) == 1  # nothing is sent: no address was given
    assert scene.query()[1]["trade_state"] == "REFUND"
    assert error_of(scene.refund(amount=601)) == (400, "INVALID_REQUEST")


def test_another_merchant_neither_sees_nor_makes_refunds(scene: Scene) -> None:
    transaction_id = scene.paid()
    scene.refund()
    other = scene.sandbox.sdk(SECOND_MCHID)
    assert parsed(other.query_refund(out_refund_no="refund-1"))[0] == 404
    money = {"refund": 1, "total": 1000, "currency": "CNY"}
    assert (
        parsed(other.refund(out_refund_no="refund-9", transaction_id=transaction_id, amount=money))[0] == 404
    )

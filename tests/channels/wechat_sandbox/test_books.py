"""The sandbox's records are append-only, consistent under concurrent calls, and survive a restart."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from channels.wechat.sandbox import operations, reading
from channels.wechat.sandbox.customer import CannotPay
from channels.wechat.sandbox.schedule import run_due
from tests.channels.wechat_sandbox.conftest import Scene, parsed
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID, wechat_sandbox


def test_the_ledger_is_append_only(scene: Scene) -> None:
    scene.paid()
    for statement in ("UPDATE ledger SET amount = 1", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), scene.bank.books.transaction() as db:
            db.execute(statement)


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """A restart keeps the clock, a refund without outcome, and a callback that was not accepted yet."""
    file = tmp_path / "books.sqlite3"
    sent: list[bytes] = []

    def refuse(_url: object, _headers: object, _body: bytes) -> int:
        return 500

    def accept(_url: object, _headers: object, body: bytes) -> int:
        sent.append(body)
        return 200

    with wechat_sandbox(books_file=file, send_callback=refuse) as sandbox:
        sdk = sandbox.sdk()
        sdk.pay(description="茶", out_trade_no="order-0001", amount={"total": 1000})
        operations.pay(sandbox.bank, FIRST_MCHID, "order-0001")
        money = {"refund": 1, "total": 1000, "currency": "CNY"}
        sdk.refund(out_refund_no="refund-1", out_trade_no="order-0001", amount=money)
        sandbox.bank.advance_clock(0.5)
        run_due(sandbox.bank)
        before = reading.read_books(sandbox.bank.books)
        now = sandbox.bank.clock.offset_seconds
    with wechat_sandbox(books_file=file, send_callback=accept) as sandbox:
        assert reading.read_books(sandbox.bank.books) == before
        assert sandbox.bank.clock.offset_seconds == now
        sandbox.bank.advance_clock(20)
        run_due(sandbox.bank)
        assert parsed(sandbox.sdk().query_refund(out_refund_no="refund-1"))[1]["status"] == "SUCCESS"
        assert len(sent) == 2


def test_concurrent_calls_create_one_order_pay_it_once_and_refund_once(scene: Scene) -> None:
    def prepay(_number: int) -> str:
        return scene.prepay()[1]["code_url"]

    def pay(_number: int) -> str:
        try:
            return operations.pay(scene.bank, FIRST_MCHID, "order-0001")
        except CannotPay:
            return ""

    def refund(number: int) -> int:
        return scene.refund(f"refund-{number}", amount=1000)[0]

    def refund_again(_number: int) -> str:
        return scene.refund("refund-same", amount=1000, order="order-0002")[1]["refund_id"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(prepay, range(8)))) == 1
        assert len([paid for paid in pool.map(pay, range(8)) if paid]) == 1
        assert sorted(pool.map(refund, range(8))) == [200] + 7 * [400]
        scene.paid("order-0002")
        assert len(set(pool.map(refund_again, range(8)))) == 1


def test_the_platforms_checks_can_read_the_records(scene: Scene) -> None:
    scene.paid()
    scene.refund()
    books = reading.fetch_books(scene.sandbox.url, FIRST_MCHID)
    assert books == reading.read_books(scene.bank.books)
    assert (books.orders[0].state, books.orders[0].total) == ("REFUND", 1000)
    assert (books.refunds[0].out_trade_no, books.refunds[0].status) == ("order-0001", "PROCESSING")
    assert [(entry.kind, entry.amount) for entry in books.entries] == [
        ("payment", 1000),
        ("fee", -6),
        ("refund", -100),
    ]
    assert reading.fetch_books(scene.sandbox.url, SECOND_MCHID).orders == ()


def test_a_violation_is_found(scene: Scene) -> None:
    scene.paid()
    books = reading.read_books(scene.bank.books)
    assert reading.find_violations(reading.Snapshot(books.orders, books.refunds, ())) == [
        "order-0001 is SUCCESS, which its ledger entries contradict"
    ]

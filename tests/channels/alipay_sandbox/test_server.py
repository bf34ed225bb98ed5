"""The sandbox's records under concurrent calls and after a restart, its control API, and the command that starts it."""

import ast
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from channels.alipay.sandbox import __main__ as command
from channels.alipay.sandbox import server as sandbox_server
from channels.alipay.sandbox import signatures
from channels.alipay.sandbox.clock import Clock
from channels.alipay.sandbox.server import SandboxServer
from tests.channels.alipay_sandbox.shop import Keys, Receiver, Shop


def test_concurrent_refunds_and_payments(shop: Shop) -> None:
    """Twenty calls race for ten yuan, each number twice."""
    number = shop.precreate("10.00")
    requests = [shop.sign("alipay.trade.refund", _refund(number, f"R{place // 2}")) for place in range(20)]
    with ThreadPoolExecutor(10) as threads:
        paid = list(
            threads.map(
                lambda _: shop.sandbox.control.handle("POST", "pay", _order(shop, number))[0], range(10)
            )
        )
        bodies = list(threads.map(lambda request: shop.post(request).json(), requests))
    answers = [body["alipay_trade_refund_response"] for body in bodies]
    assert sorted(paid) == [200] + [409] * 9
    assert sum(answer.get("fund_change") == "Y" for answer in answers) == 3
    ledger = shop.control("GET", "ledger", seller_id=shop.seller_id)
    assert sorted(entry["amount_fen"] for entry in ledger["entries"]) == [-300, -300, -300, 1000]


def _refund(number: str, request_no: str) -> dict[str, str]:
    return {"out_trade_no": number, "refund_amount": "3.00", "out_request_no": request_no}


def _order(shop: Shop, number: str) -> dict[str, str]:
    return {"app_id": shop.app_id, "out_trade_no": number}


def _shop_at(server: SandboxServer, keys: Keys, notices: Receiver) -> Shop:
    return Shop(server, keys, "2021000000000001", "2088000000000001", f"{notices.url}/restart")


def test_a_file_survives_a_restart(tmp_path: Path, keys: Keys, notices: Receiver) -> None:
    """Apps, codes, trades, the ledger and notices that are still to be sent."""
    path = str(tmp_path / "bank.sqlite3")
    first = SandboxServer(path=path)
    first.start()
    shop = _shop_at(first, keys, notices)
    fields = {"app_public_key": keys.app_public, "alipay_private_key": keys.alipay_private}
    shop.control("POST", "apps", app_id=shop.app_id, seller_id=shop.seller_id, **fields)
    paid, offered = shop.paid("5.00"), shop.precreate("6.00")
    first.stop()

    second = SandboxServer(path=path)
    second.start()
    shop = _shop_at(second, keys, notices)
    assert shop.query(paid)["trade_status"] == "TRADE_SUCCESS"
    shop.control("POST", "pay", **_order(shop, offered))
    ledger = shop.control("GET", "ledger", seller_id=shop.seller_id)
    assert [entry["amount_fen"] for entry in ledger["entries"]] == [500, 600]
    second.sender.send_due()
    assert [notice["out_trade_no"] for notice in notices.notices_at(shop.notify_url)] == [paid, offered]
    second.stop()


def test_the_ledger_is_append_only(shop: Shop) -> None:
    shop.paid()
    for statement in ("UPDATE ledger SET amount_fen = 1", "DELETE FROM ledger"):
        with (
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
            shop.sandbox.bank.database.transaction() as connection,
        ):
            connection.execute(statement)


def test_a_withdrawal_of_more_than_there_is(shop: Shop) -> None:
    fields = {"seller_id": shop.seller_id, "amount": "1.00"}
    status, answer = shop.sandbox.control.handle("POST", "withdraw", fields)
    assert (status, answer) == (400, {"error": "amount: the account does not hold it"})


def test_notices_are_sent_by_themselves(keys: Keys, notices: Receiver) -> None:
    """A thread of the sandbox sends due notices; moving the clock wakes it up."""
    server = SandboxServer(sends_notices=True, clock=Clock(is_stopped=True))
    server.start()
    shop = _shop_at(server, keys, notices)
    shop.notify_url = f"{notices.url}/thread"
    fields = {"app_public_key": keys.app_public, "alipay_private_key": keys.alipay_private}
    shop.control("POST", "apps", app_id=shop.app_id, seller_id=shop.seller_id, **fields)
    notices.answers["/thread"] = [(200, b"fail")]
    shop.paid()
    assert notices.wait_for("/thread", 1)
    shop.control("POST", "clock", advance_seconds=240)
    assert notices.wait_for("/thread", 2)
    server.stop()


def test_the_control_api_over_http(shop: Shop) -> None:
    base = f"{shop.sandbox.base_url}/control"
    number = shop.precreate()
    trade = shop.http.post(f"{base}/pay", json=_order(shop, number), timeout=60).json()
    assert trade["status"] == "TRADE_SUCCESS"
    trades = shop.http.get(f"{base}/trades", params={"seller_id": shop.seller_id}, timeout=60).json()
    assert [trade["out_trade_no"] for trade in trades] == [number]
    apps = shop.http.get(f"{base}/apps", timeout=60).json()
    assert all("private" not in name for app in apps for name in app)
    clock = shop.http.get(f"{base}/clock", timeout=60).json()
    assert clock["now"] == shop.query(number)["send_pay_date"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "named"),
    [
        ("POST", "pay", "{}", 400, "app_id"),
        ("POST", "pay", '{"app_id": "1", "out_trade_no": "2"}', 400, "no app 1"),
        ("POST", "pay", "no json", 400, "JSON object"),
        ("POST", "pay", "[]", 400, "JSON object"),
        ("POST", "clock", '{"set": "tomorrow"}', 400, "tomorrow"),
        ("POST", "clock", '{"state": "asleep"}', 400, "asleep"),
        ("POST", "clock", '{"advance_seconds": "1"}', 400, "str"),
        ("POST", "clock", '{"advance_seconds": 1e300}', 400, ""),
        ("POST", "apps", '{"app_public_key": "x"}', 400, ""),
        ("POST", "apps", '{"app_public_key": "x", "refund_days": "many"}', 400, "refund_days"),
        ("POST", "apps", '{"app_public_key": "x", "app_id": 7}', 400, "app_id"),
        ("POST", "withdraw", '{"seller_id": ["1"], "amount": "1"}', 400, "seller_id"),
        ("POST", "withdraw", '{"seller_id": "1", "amount": 1.5}', 400, "amount"),
        ("POST", "unreachable", '{"seconds": "1"}', 400, "seconds"),
        ("GET", "everything", "", 404, "no call"),
    ],
)
def test_errors_of_the_control_api(
    shop: Shop, method: str, path: str, body: str, status: int, named: str
) -> None:
    response = shop.http.request(method, f"{shop.sandbox.base_url}/control/{path}", data=body, timeout=60)
    assert response.status_code == status
    assert named in response.json()["error"]


def test_other_addresses(shop: Shop) -> None:
    for path in ("/", "/favicon.ico", "/gateway"):
        assert shop.http.get(shop.sandbox.base_url + path, timeout=60).status_code == 404
    assert shop.http.post(shop.sandbox.gateway_url, data=b"x" * 1_000_001, timeout=60).status_code == 413
    empty = shop.http.get(shop.sandbox.gateway_url, timeout=60).json()
    assert empty["error_response"]["sub_code"] == "isv.missing-app-id"


def test_the_settings_of_the_first_start(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are made once, only their owner can read them, and they are enough to call the sandbox."""
    made = iter([keys.app, keys.alipay])
    monkeypatch.setattr(signatures, "make_private_key", lambda: next(made))
    server = SandboxServer()
    server.start()
    first, second = (command.write_settings(server.bank, tmp_path, server.base_url) for _ in range(2))
    assert first == second == (tmp_path / "settings.env").read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    settings = dict(line.split("=", 1) for line in first.splitlines())
    assert settings["ALIPAY_GATEWAY_URL"] == server.gateway_url
    shop = Shop(server, keys, settings["ALIPAY_TEST_APP_ID"], settings["ALIPAY_TEST_SELLER_ID"], "")
    assert settings["ALIPAY_TEST_ALIPAY_PUBLIC_KEY"] == keys.alipay_public
    assert shop.query("1")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    server.stop()


def imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def test_the_sandbox_imports_nothing_of_the_platform() -> None:
    """The sandbox shares no code with the channel, which is written from the same documents."""
    files = list(Path(sandbox_server.__file__).parent.glob("*.py"))
    assert len(files) > 20
    for file in files:
        for name in imported(ast.parse(file.read_text())):
            if name.split(".")[0] in ("channels", "common", "gateway", "django", "payment_platform"):
                assert name.startswith("channels.alipay.sandbox"), (file.name, name)

"""Callbacks: their recipients, their repetitions, and forged ones that a merchant must refuse."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from channels.wechat.sandbox import operations
from channels.wechat.sandbox.callbacks import RETRY_SECONDS, send_over_http
from channels.wechat.sandbox.faults import FaultKind
from tests.channels.wechat_sandbox.conftest import Scene
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID


def statuses(scene: Scene) -> list[str]:
    return [callback["status"] for callback in operations.list_callbacks(scene.bank)]


def test_a_callback_is_sent_again_at_the_documented_times(scene: Scene) -> None:
    """15 s, 15 s, 30 s, 3 min … 6 h: 24 h 4 min in all; then WeChat Pay gives up."""
    scene.shop.status = 500
    scene.paid()
    scene.run()
    assert sum(RETRY_SECONDS) == 24 * 3600 + 4 * 60
    for sent, seconds in enumerate(RETRY_SECONDS, start=1):
        scene.run(seconds=seconds - 2)
        assert len(scene.shop.received) == sent
        scene.run(seconds=3)
        assert len(scene.shop.received) == sent + 1
    assert statuses(scene) == ["given_up"]
    scene.run(seconds=30 * 86400)
    assert len(scene.shop.received) == len(RETRY_SECONDS) + 1
    notices = scene.notices()
    assert len({notice["id"] for notice in notices if notice}) == 1
    assert len({notice["create_time"] for notice in notices if notice}) == 1


@pytest.mark.parametrize("status", [200, 204])
def test_an_accepted_callback_is_not_sent_again(scene: Scene, status: int) -> None:
    scene.shop.status = 401
    scene.paid()
    scene.run()
    scene.shop.status = status
    scene.run(seconds=16)
    scene.run(seconds=86400)
    assert len(scene.shop.received) == 2
    assert statuses(scene) == ["delivered"]


def test_a_shop_that_cannot_be_reached_is_tried_again(scene: Scene) -> None:
    scene.shop.status = ConnectionRefusedError("nobody listens")
    scene.paid()
    scene.run()
    (callback,) = operations.list_callbacks(scene.bank)
    assert callback["attempts_made"][0]["error"] == "ConnectionRefusedError: nobody listens"
    scene.shop.status = 200
    scene.run(seconds=16)
    assert statuses(scene) == ["delivered"]


def test_a_callback_survives_a_crash_while_it_is_sent(scene: Scene) -> None:
    """The time of its retry is committed before it is sent."""
    scene.shop.status = KeyboardInterrupt()
    scene.paid()
    with pytest.raises(KeyboardInterrupt):
        scene.run()
    scene.shop.status = 200
    scene.run(seconds=16)
    assert statuses(scene) == ["delivered"]


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://shop:99999/", f"http://{64 * 'a'}.com/", "http:///path"]
)
def test_an_invalid_address_stops_no_other_callback(scene: Scene, url: str) -> None:
    scene.bank.send_callback = send_over_http
    assert scene.prepay(notify_url=url)[0] == 200
    operations.pay(scene.bank, FIRST_MCHID, "order-0001")
    scene.run()
    scene.bank.send_callback = scene.shop.receive
    scene.paid("order-0002")
    scene.run()
    assert len(scene.shop.received) == 1


def test_each_attempt_is_encrypted_and_signed_anew(scene: Scene) -> None:
    scene.shop.status = 500
    scene.paid()
    scene.run()
    scene.run(seconds=16)
    (_, first, first_body), (_, second, second_body) = scene.shop.received
    assert first_body != second_body
    assert first["Wechatpay-Nonce"] != second["Wechatpay-Nonce"]


@pytest.mark.parametrize(
    "kind", [FaultKind.CALLBACK_PROBED, FaultKind.CALLBACK_FORGED, FaultKind.CALLBACK_TAMPERED]
)
def test_the_sdk_refuses_forged_callbacks_and_accepts_the_genuine_one(scene: Scene, kind: FaultKind) -> None:
    scene.plan(kind)
    scene.paid()
    scene.run()
    refused, genuine = scene.notices()
    assert refused is None
    assert genuine is not None
    signature = scene.shop.received[0][1]["Wechatpay-Signature"]
    assert signature.startswith("WECHATPAY/SIGNTEST/") is (kind is FaultKind.CALLBACK_PROBED)


def test_a_forged_callback_is_sent_once(scene: Scene) -> None:
    scene.shop.status = 401
    scene.plan(FaultKind.CALLBACK_FORGED)
    scene.paid()
    scene.run()
    scene.run(seconds=16)
    assert len(scene.shop.received) == 3


def test_a_stale_callback_is_an_hour_old(scene: Scene) -> None:
    scene.plan(FaultKind.CALLBACK_STALE)
    scene.paid()
    scene.run()
    stale, genuine = (int(headers["Wechatpay-Timestamp"]) for _url, headers, _body in scene.shop.received)
    assert 3590 < genuine - stale < 3610


def test_duplicated_late_and_dropped_callbacks(scene: Scene) -> None:
    scene.plan(FaultKind.CALLBACK_DUPLICATED, number="order-0001")
    scene.plan(FaultKind.CALLBACK_LATE, number="order-0002", seconds=600)
    scene.plan(FaultKind.CALLBACK_DROPPED, number="order-0003")
    for number in ("order-0001", "order-0002", "order-0003"):
        scene.paid(number)
    scene.run()
    first, second = scene.notices()
    assert first is not None
    assert first == second
    scene.run(seconds=601)
    late = scene.notices()[2]
    assert late is not None
    assert late["resource"]["out_trade_no"] == "order-0002"
    scene.run(seconds=86400)
    assert len(scene.shop.received) == 3


def test_a_held_callback_comes_after_the_next_one(scene: Scene) -> None:
    scene.plan(FaultKind.CALLBACK_HELD, operation="TRANSACTION.SUCCESS")
    scene.paid()
    scene.run()
    scene.refund()
    scene.run(seconds=2)
    assert [notice["event_type"] for notice in scene.notices() if notice] == [
        "REFUND.SUCCESS",
        "TRANSACTION.SUCCESS",
    ]


def test_a_callback_may_contradict_what_happened(scene: Scene) -> None:
    scene.plan(FaultKind.CALLBACK_CONTRADICTION, fields={"amount.total": 1, "trade_state": "CLOSED"})
    scene.paid()
    scene.run()
    (notice,) = scene.notices()
    assert notice is not None
    assert notice["resource"]["amount"] == {
        "total": 1,
        "payer_total": 1000,
        "currency": "CNY",
        "payer_currency": "CNY",
    }
    assert notice["resource"]["trade_state"] == "CLOSED"
    assert scene.query()[1]["trade_state"] == "SUCCESS"


def test_a_forged_payment_changes_nothing_here(scene: Scene) -> None:
    scene.prepay()
    operations.forge_payment(scene.bank, FIRST_MCHID, "order-0001")
    scene.run()
    assert scene.notices() == [None]
    assert scene.query()[1]["trade_state"] == "NOTPAY"


def test_a_callback_can_be_sent_once_more(scene: Scene) -> None:
    scene.paid()
    scene.run()
    (callback,) = operations.list_callbacks(scene.bank)
    assert operations.resend(scene.bank, callback["event_id"]) == 1
    scene.run()
    first, second = scene.notices()
    assert first == second


def test_each_merchant_has_its_own_key(scene: Scene) -> None:
    other = scene.sandbox.sdk(SECOND_MCHID)
    assert other.pay(description="茶", out_trade_no="order-0001", amount={"total": 5})[0] == 200
    operations.pay(scene.bank, SECOND_MCHID, "order-0001")
    scene.run()
    ((_url, headers, body),) = scene.shop.received
    assert scene.sdk.callback(headers, body) is None
    assert other.callback(headers, body)["resource"]["mchid"] == SECOND_MCHID


@pytest.fixture
def shop_over_http() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    received: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["Wechatpay-Serial"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/notify", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_callbacks_are_posted_over_http(
    scene: Scene, shop_over_http: tuple[str, list[tuple[str, bytes]]]
) -> None:
    url, received = shop_over_http
    scene.bank.send_callback = send_over_http
    scene.prepay(notify_url=url)
    operations.pay(scene.bank, FIRST_MCHID, "order-0001")
    scene.run()
    ((serial, body),) = received
    assert serial == scene.merchant.public_key_id
    assert b"encrypt-resource" in body
    assert statuses(scene) == ["delivered"]

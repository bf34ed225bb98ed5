"""Planned faults of a call: whether the call has an effect, and what the client gets."""

from typing import Any

import pytest
import requests
from wechatpayv3 import WeChatPay

from channels.wechat.sandbox import reading
from channels.wechat.sandbox.faults import FaultKind
from tests.channels.wechat_sandbox.conftest import Scene, parsed


def has_order(scene: Scene) -> bool:
    return bool(reading.read_books(scene.bank.books).orders)


@pytest.mark.parametrize(
    ("kind", "takes_effect"),
    [
        (FaultKind.LOST_REQUEST, False),
        (FaultKind.LOST_ANSWER, True),
        (FaultKind.RESET, False),
        (FaultKind.RESET_AFTER, True),
    ],
)
def test_no_answer_comes(scene: Scene, kind: FaultKind, takes_effect: bool) -> None:
    scene.plan(kind, operation="prepay")
    with pytest.raises(requests.ConnectionError):
        scene.prepay()
    assert has_order(scene) is takes_effect
    assert scene.prepay()[0] == 200


def test_a_reset_is_a_reset(scene: Scene) -> None:
    scene.plan(FaultKind.RESET)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        scene.prepay()


@pytest.mark.parametrize(
    ("kind", "options", "status", "code", "takes_effect"),
    [
        (FaultKind.SYSTEM_ERROR, {}, 500, "SYSTEM_ERROR", False),
        (FaultKind.SYSTEM_ERROR_AFTER, {}, 500, "SYSTEM_ERROR", True),
        (FaultKind.ERROR, {"status": 429, "code": "FREQUENCY_LIMITED"}, 429, "FREQUENCY_LIMITED", False),
        (FaultKind.ERROR, {"status": 403, "code": "NO_AUTH", "message": "无权限"}, 403, "NO_AUTH", False),
    ],
)
def test_an_error_is_answered(
    scene: Scene, kind: FaultKind, options: dict[str, Any], status: int, code: str, takes_effect: bool
) -> None:
    scene.plan(kind, **options)
    answer = scene.prepay()
    assert (answer[0], answer[1]["code"]) == (status, code)
    assert has_order(scene) is takes_effect
    assert scene.prepay()[0] == 200


def test_a_bad_gateway_answers_html(scene: Scene) -> None:
    scene.plan(FaultKind.BAD_GATEWAY)
    status, body = scene.sdk.query(out_trade_no="order-0001")
    assert (status, body[:6]) == (502, b"<html>")


@pytest.mark.parametrize("kind", [FaultKind.SLOW, FaultKind.SLOW_START])
def test_a_slow_answer(scene: Scene, kind: FaultKind, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.plan(kind, seconds=0.05)
    with monkeypatch.context() as patch:
        patch.setattr(scene.sdk._core, "_timeout", (5, 0.01))
        with pytest.raises(requests.ReadTimeout):
            scene.prepay()
    assert scene.prepay()[0] == 200


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.BAD_SIGNATURE,
        FaultKind.NO_SIGNATURE,
        FaultKind.PROBE_SIGNATURE,
        FaultKind.UNKNOWN_SERIAL,
    ],
)
def test_the_sdk_refuses_an_answer_whose_signature_is_wrong(scene: Scene, kind: FaultKind) -> None:
    scene.plan(kind)
    with pytest.raises(Exception, match=r"verify the signature|support this algorithm"):
        scene.prepay()
    assert has_order(scene)
    assert scene.prepay()[0] == 200


def test_a_stale_answer_is_an_hour_old(scene: Scene) -> None:
    """The SDK does not check the time."""
    scene.plan(FaultKind.STALE_TIMESTAMP)
    assert scene.prepay()[0] == 200


def test_a_contradicted_query(scene: Scene) -> None:
    scene.paid()
    scene.plan(
        FaultKind.CONTRADICTION, operation="query", fields={"trade_state": "NOTPAY", "amount.total": 1}
    )
    answer = scene.query()[1]
    assert (answer["trade_state"], answer["amount"]["total"]) == ("NOTPAY", 1)
    answer = scene.query()[1]
    assert (answer["trade_state"], answer["amount"]["total"]) == ("SUCCESS", 1000)


def test_closing_an_unknown_order_may_be_answered_as_done(scene: Scene) -> None:
    scene.plan(FaultKind.ERROR, operation="close", status=204)
    assert scene.sdk.close(out_trade_no="order-0001")[0] == 204
    assert scene.prepay()[0] == 200


def test_a_fault_hits_what_it_names_and_as_often(scene: Scene) -> None:
    other: WeChatPay = scene.sandbox.sdk("1900000209")
    scene.plan(FaultKind.SYSTEM_ERROR, operation="query", mchid="1900000109", number="order-0001", times=2)
    scene.prepay()
    assert scene.query("order-0002")[0] == 404
    assert parsed(other.query(out_trade_no="order-0001"))[0] == 404
    assert [scene.query()[0] for _ in range(3)] == [500, 500, 200]


def test_a_fault_may_hit_always_until_it_is_cleared(scene: Scene) -> None:
    scene.plan(FaultKind.SYSTEM_ERROR, times=None)
    assert [scene.query()[0] for _ in range(3)] == [500, 500, 500]
    scene.bank.faults.clear()
    assert scene.query()[0] == 404


def test_a_fault_of_a_refund_is_found_by_either_number(scene: Scene) -> None:
    scene.paid()
    scene.plan(FaultKind.LOST_ANSWER, operation="refund", number="refund-1")
    with pytest.raises(requests.ConnectionError):
        scene.refund()
    assert scene.refund()[1]["status"] == "PROCESSING"
    assert len(reading.read_books(scene.bank.books).refunds) == 1

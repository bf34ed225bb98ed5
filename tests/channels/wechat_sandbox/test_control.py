"""The control API over HTTP, which tests in other processes use, and its restrictions."""

from typing import Any

import pytest
import requests

from channels.wechat.sandbox.messages import SandboxAnswer, SandboxRequest
from channels.wechat.sandbox.server import answer as answer_request
from tests.channels.wechat_sandbox.conftest import Scene
from tests.support.wechat_sandbox import FIRST_MCHID


def call(scene: Scene, method: str, path: str, **values: Any) -> tuple[int, Any]:
    answer = requests.request(method, f"{scene.sandbox.url}/sandbox/{path}", json=values or None, timeout=60)
    return answer.status_code, answer.json()


def post(scene: Scene, path: str, **values: Any) -> tuple[int, Any]:
    return call(scene, "POST", path, **values)


def order(**values: Any) -> dict[str, Any]:
    return {"mchid": FIRST_MCHID, "out_trade_no": "order-0001"} | values


def test_a_payment_and_its_refund_over_http(scene: Scene) -> None:
    scene.prepay()
    status, paid = post(scene, "pay", **order())
    assert status == 200
    assert scene.query()[1]["transaction_id"] == paid["transaction_id"]
    assert post(scene, "pay", **order())[0] == 409
    assert post(scene, "close", **order()) == (200, {"closed": False})
    assert call(scene, "POST", "run-due", now=True) == (200, {"done": 1})
    status, refund = post(scene, "refunds", **order(amount=400, reason="退货"))
    assert (status, refund["status"]) == (200, "PROCESSING")
    values = {"mchid": FIRST_MCHID, "out_refund_no": refund["out_refund_no"], "status": "ABNORMAL"}
    assert post(scene, "refunds/settle", **values)[0] == 200
    assert post(scene, "money", mchid=FIRST_MCHID, amount=-94) == (200, {"balance": 502})
    status, callbacks = call(scene, "GET", "callbacks")
    assert (status, callbacks[0]["event_type"]) == (200, "TRANSACTION.SUCCESS")
    assert post(scene, "callbacks/resend", event_id=callbacks[0]["event_id"]) == (200, {"callbacks": 1})
    assert call(scene, "GET", "books")[1]["refunds"][0]["status"] == "ABNORMAL"


def test_the_clock_moves_and_what_is_due_happens(scene: Scene) -> None:
    scene.paid()
    scene.refund()
    status, answer = post(scene, "clock", advance_seconds=3)
    assert (status, answer["offset_seconds"]) == (200, 3)
    assert answer["done"] == 3  # the refund is decided, two callbacks are sent
    assert call(scene, "GET", "clock")[1]["now"].endswith("+08:00")


def test_faults_are_planned_listed_and_cleared(scene: Scene) -> None:
    assert post(scene, "faults", kind="system_error", operation="query", times=None) == (200, {})
    assert call(scene, "GET", "faults")[1][0]["operation"] == "query"
    assert scene.query()[0] == 500
    assert call(scene, "DELETE", "faults", all=True) == (200, {})
    assert scene.query()[0] == 404


def test_a_merchant_can_be_changed(scene: Scene) -> None:
    values = {"mchid": FIRST_MCHID, "signing_mode": "certificate", "refund_seconds": 60}
    assert post(scene, "merchants", **values) == (200, {})
    merchant = call(scene, "GET", "merchants")[1][0]
    assert (merchant["signing_mode"], merchant["refund_seconds"]) == ("certificate", 60)
    assert "apiv3_key" not in merchant


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("pay", {"mchid": "1"}, "there is no merchant 1"),
        ("pay", {"mchid": FIRST_MCHID}, "out_trade_no must be a text"),
        ("refunds", order(amount="1"), "amount must be a whole number"),
        ("refunds", order(amount=-1), "amount must be positive"),
        ("refunds/settle", order(status="DONE"), "status must be SUCCESS, ABNORMAL or CLOSED"),
        ("clock", {"advance_seconds": "1"}, "advance_seconds must be a number"),
        ("clock", {"advance_seconds": 1e300}, "advance_seconds must be a number of at most ten years"),
        ("faults", {"kind": "slow", "seconds": -1}, "seconds must not be negative"),
        ("faults", {"kind": "error", "status": 99}, "status must be 200 to 599"),
        ("faults", {"kind": "error", "times": 0}, "times must be at least 1"),
        ("faults", {"kind": "typo"}, "there is no fault typo"),
        ("faults", {"kind": "slow", "second": 1}, "unknown: second"),
        ("faults", {"kind": "slow", "times": "1"}, "times must be a whole number"),
        ("merchants", {"mchid": FIRST_MCHID, "signing_mode": "none"}, "signing_mode must be one of"),
        ("merchants", {"mchid": FIRST_MCHID, "name": "a"}, "unknown: name"),
        ("money", {"mchid": FIRST_MCHID, "amount": 0}, "amount must not be 0"),
    ],
)
def test_wrong_commands_say_what_is_wrong(
    scene: Scene, path: str, values: dict[str, Any], message: str
) -> None:
    status, answer = post(scene, path, **values)
    assert (status, answer["error"][: len(message)]) == (400, message)


def test_only_json_is_taken(scene: Scene) -> None:
    """Otherwise a page in a browser on this machine could send commands."""
    url = f"{scene.sandbox.url}/sandbox/clock"
    answer = requests.post(
        url, data='{"advance_seconds": 1}', headers={"Content-Type": "text/plain"}, timeout=60
    )
    assert (answer.status_code, scene.bank.clock.offset_seconds) == (400, 0)
    answer = requests.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status_code == 400
    assert call(scene, "GET", "nothing")[0] == 404


def test_another_machine_may_pay_but_sees_and_commands_nothing(scene: Scene) -> None:
    code_url = scene.prepay()[1]["code_url"]

    def get(path: str) -> int:
        answer = answer_request(scene.bank, SandboxRequest("GET", path, {}, b""), is_local=False)
        assert isinstance(answer, SandboxAnswer)
        return answer.status

    assert get(f"/pay/{code_url.rpartition('=')[2]}") == 200
    assert (get("/"), get("/sandbox/books"), get("/v3/certificates")) == (404, 403, 401)

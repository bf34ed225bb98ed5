"""Each kind of fault that a test can plan, over real connections."""

import re
import time
from pathlib import Path

import pytest
import requests
from rsa import VerificationError

from channels.alipay.sandbox import faults, gateway
from channels.alipay.sandbox.server import SandboxServer
from scripts.local.config import ROOT
from tests.channels.alipay_sandbox.shop import Shop

REFUND = "alipay.trade.refund"


def is_refunded(shop: Shop, number: str) -> bool:
    return "refund_status" in shop.query_refund(number, "R1")


@pytest.mark.parametrize(
    ("kind", "happens"),
    [("timeout_before", False), ("timeout_after", True), ("reset", False), ("reset_after", True)],
)
def test_no_answer(shop: Shop, kind: str, happens: bool) -> None:
    number = shop.paid("10.00")
    shop.fault(
        "refund", kind, seconds=0
    )  # hangs up at once, so that the caller need not wait for its own timeout
    with pytest.raises(requests.ConnectionError) as error:
        shop.refund(number, "10.00", "R1")
    assert ("reset" in str(error.value)) == kind.startswith("reset")
    assert is_refunded(shop, number) == happens
    assert shop.refund(number, "10.00", "R1")["fund_change"] == ("N" if happens else "Y")


def test_the_caller_gets_a_timeout(shop: Shop) -> None:
    shop.fault("query", "timeout_before")
    with pytest.raises(requests.Timeout):
        shop.post(shop.sign("alipay.trade.query", {"out_trade_no": "1"}), timeout=0.05)


@pytest.mark.parametrize(("kind", "happens"), [("error_5xx", False), ("error_5xx_after", True)])
def test_status_500(shop: Shop, kind: str, happens: bool) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", kind)
    request = shop.sign(REFUND, {"out_trade_no": number, "refund_amount": "10.00", "out_request_no": "R1"})
    assert shop.post(request).status_code == 500
    assert is_refunded(shop, number) == happens


@pytest.mark.parametrize(
    ("kind", "happens", "code", "sub_code"),
    [
        ("unavailable", False, "20000", "isp.unknow-error"),
        ("unavailable_after", True, "20000", "isp.unknow-error"),
        ("system_error", False, "40004", "ACQ.SYSTEM_ERROR"),
        ("system_error_after", True, "40004", "ACQ.SYSTEM_ERROR"),
        ("decline", False, "40004", "ACQ.SYSTEM_ERROR"),
    ],
)
def test_errors_that_are_well_signed(shop: Shop, kind: str, happens: bool, code: str, sub_code: str) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", kind)
    answer = shop.refund(number, "10.00", "R1")
    assert (answer["code"], answer["sub_code"]) == (code, sub_code)
    assert is_refunded(shop, number) == happens


def test_a_decline_with_a_chosen_code(shop: Shop) -> None:
    shop.fault("create", "decline", code="40006", sub_code="isv.insufficient-isv-permissions")
    answer = shop.call("alipay.trade.precreate", {})
    assert (answer["code"], answer["sub_code"]) == ("40006", "isv.insufficient-isv-permissions")


@pytest.mark.parametrize("kind", ["bad_signature", "no_signature", "garbage"])
def test_answers_that_cannot_be_trusted(shop: Shop, kind: str) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", kind)
    request = shop.sign(REFUND, {"out_trade_no": number, "refund_amount": "10.00", "out_request_no": "R1"})
    body = shop.post(request).content
    if kind == "bad_signature":
        with pytest.raises(VerificationError):
            shop.read(body, REFUND)
    else:
        assert b'"sign"' not in body
    assert is_refunded(shop, number)


def test_a_contradicted_outcome(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.fault("query", "contradict", fields={"trade_status": "WAIT_BUYER_PAY", "send_pay_date": None})
    assert shop.query(number)["trade_status"] == "WAIT_BUYER_PAY"
    assert shop.query(number)["trade_status"] == "TRADE_SUCCESS"


@pytest.mark.parametrize("kind", ["slow", "slow_start"])
def test_slow(shop: Shop, kind: str) -> None:
    number = shop.paid("10.00")
    shop.fault("query", kind, seconds=0.05)
    begin = time.monotonic()
    assert shop.query(number)["trade_status"] == "TRADE_SUCCESS"
    assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize(("kind", "waits"), [("slow", (0, 9)), ("slow_start", (9, 0))])
def test_on_which_side_of_the_delay_it_happens(shop: Shop, kind: str, waits: tuple[float, float]) -> None:
    """The delay is before the request is executed, or before it is answered."""
    number = shop.paid("10.00")
    shop.fault("refund", kind, seconds=9)
    fields = shop.sign(REFUND, {"out_trade_no": number, "refund_amount": "10.00", "out_request_no": "R1"})
    before: list[float] = []

    def wait(seconds: float) -> None:
        assert not is_refunded(shop, number)
        before.append(seconds)

    answer = gateway.answer(shop.sandbox.bank, fields, base_url="", wait=wait)
    assert (sum(before), answer.seconds) == waits
    assert is_refunded(shop, number)


def test_a_fault_hits_its_order_and_its_number_of_calls(shop: Shop) -> None:
    number, other = shop.paid(), shop.paid()
    shop.fault("query", "system_error", out_trade_no=number, times=2)
    assert shop.query(other)["code"] == "10000"
    assert [shop.query(number)["code"] for _ in range(3)] == ["40004", "40004", "10000"]


def test_a_fault_for_ever(shop: Shop) -> None:
    number = shop.paid()
    shop.fault("query", "system_error", times=-1)
    assert [shop.query(number)["code"] for _ in range(3)] == ["40004"] * 3


def test_half_a_bill(shop: Shop) -> None:
    date = shop.sandbox.bank.clock.now().strftime("%Y-%m-%d")
    shop.paid()
    shop.wait(hours=34)
    bill = {"bill_type": "trade", "bill_date": date}
    link = shop.call("alipay.data.dataservice.bill.downloadurl.query", bill)["bill_download_url"]
    whole = shop.http.get(link, timeout=60).content
    shop.control("POST", "faults", operation="download", kind="garbage")
    assert whole.startswith(shop.http.get(link, timeout=60).content)
    assert shop.http.get(link, timeout=60).content == whole


def test_unreachable() -> None:
    """Pooled connections are closed too."""
    server = SandboxServer()
    server.start()
    session = requests.Session()
    session.get(f"{server.base_url}/control/clock", timeout=60)
    server.refuse_connections(60)
    with pytest.raises(requests.ConnectionError, match="refused"):
        session.get(f"{server.base_url}/control/clock", timeout=60)
    server.accept_connections()
    answer = session.post(f"{server.base_url}/control/unreachable", json={"seconds": 60}, timeout=60)
    assert answer.status_code == 200
    assert server.door_closed.wait(60)
    server.accept_connections()
    assert session.get(f"{server.base_url}/control/clock", timeout=60).status_code == 200
    server.stop()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"operation": "fly", "kind": "slow"}, "operation"),
        ({"operation": "query", "kind": "refund_pending"}, "kind"),
        ({"operation": "notify", "kind": "slow"}, "kind"),
        ({"operation": "query", "kind": "slow", "times": 0}, "times"),
        ({"operation": "query", "kind": "slow", "seconds": -1}, "seconds"),
        ({"operation": "query", "kind": "slow", "seconds": "1"}, "seconds"),
        ({"operation": "query", "kind": "slow", "when": "now"}, "when"),
        ({"operation": "query", "kind": "contradict", "fields": []}, "fields"),
    ],
)
def test_a_typo_is_named(shop: Shop, fields: dict[str, object], named: str) -> None:
    status, answer = shop.sandbox.control.handle("POST", "faults", fields)
    assert status == 400
    assert named in str(answer)


def test_the_document_lists_every_fault() -> None:
    text = Path(ROOT / "docs" / "ALIPAY-SANDBOX.md").read_text()
    rows = {
        name: (seconds.strip(), meaning.strip())
        for name, seconds, meaning in re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    }

    def written(meaning: str, seconds: float | None) -> tuple[str, str]:
        return ("" if seconds is None else f"{seconds:g} s", meaning)

    expected = {name: written(fault.meaning, fault.seconds) for name, fault in faults.NETWORK_FAULTS.items()}
    for behaviours in (faults.REFUND_BEHAVIOURS, faults.NOTICE_BEHAVIOURS, faults.PAY_BEHAVIOURS):
        expected |= {name: written(meaning, seconds) for name, (meaning, seconds) in behaviours.items()}
    assert rows == expected

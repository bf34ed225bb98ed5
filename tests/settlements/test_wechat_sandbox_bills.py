"""WeChat Pay's bills, as its sandbox makes them, explain every fen that the account gained."""

import datetime as dt
import io
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from channels.wechat.sandbox import bills, ledger, operations, orders, refunds
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.clock import to_beijing
from channels.wechat.sandbox.errors import SandboxApiError
from channels.wechat.sandbox.faults import Fault, FaultKind
from channels.wechat.sandbox.merchants import SandboxMerchant
from channels.wechat.sandbox.prepay import TradeType
from channels.wechat.sandbox.schedule import run_due
from settlements.models import LineKind, StatementFormat
from settlements.parsers.base import ParsedLine, StatementIdentity
from settlements.parsers.registry import PARSERS
from tests.support.wechat_sandbox import FIRST_MCHID, WechatSandbox, wechat_sandbox

DAY_SECONDS = 86_400
KINDS = {"trade": StatementFormat.WECHAT_TRADES, "fund_flow": StatementFormat.WECHAT_FUNDS}


@pytest.fixture
def sandbox() -> Iterator[WechatSandbox]:
    with wechat_sandbox() as running:
        yield running


def pay(bank: Bank, merchant: SandboxMerchant, number: str, total: int) -> None:
    body = {
        "appid": merchant.appid,
        "mchid": merchant.mchid,
        "description": "tea",
        "out_trade_no": number,
        "notify_url": "http://127.0.0.1:9/notify",
        "amount": {"total": total},
    }
    orders.prepay(bank, merchant, TradeType.NATIVE, body)
    operations.pay(bank, merchant.mchid, number)


def refund(bank: Bank, merchant: SandboxMerchant, number: str, amount: int, total: int) -> None:
    amounts = {"refund": amount, "total": total, "currency": "CNY"}
    body = {"out_trade_no": number, "out_refund_no": f"R-{number}", "amount": amounts}
    refunds.apply(bank, merchant, body)


def read_lines(bank: Bank, merchant: SandboxMerchant, day: dt.date) -> Iterator[ParsedLine]:
    for kind, format in KINDS.items():
        try:
            bill = bills.request_bill(bank, merchant, kind, {"bill_date": day.isoformat()})
        except SandboxApiError as error:
            if error.code == "NO_STATEMENT_EXIST":
                continue
            raise
        token = parse_qs(urlsplit(bill["download_url"]).query)["token"][0]
        file = io.BytesIO(bills.download(bank, merchant, token))
        parsed = PARSERS[format](file, StatementIdentity("wechat", "test", None, day))
        yield from (each for each in parsed if isinstance(each, ParsedLine))


def test_the_lines_of_all_bills_add_up_to_the_balance(sandbox: WechatSandbox) -> None:
    bank, merchant = sandbox.bank, sandbox.identities[FIRST_MCHID].merchant
    first_day = to_beijing(bank.clock.now()).date()
    pay(bank, merchant, "order-1", 10_000)
    refund(bank, merchant, "order-1", 2_500, 10_000)
    pay(bank, merchant, "order-2", 20_000)
    bank.faults.plan(Fault(FaultKind.REFUND_CLOSED, seconds=2 * DAY_SECONDS))
    refund(bank, merchant, "order-2", 20_000, 20_000)
    operations.move_money(bank, merchant.mchid, 5_000)
    bank.advance_clock(DAY_SECONDS)
    operations.move_money(bank, merchant.mchid, -9_000)
    bank.advance_clock(2 * DAY_SECONDS)
    run_due(bank)
    bank.advance_clock(2 * DAY_SECONDS)

    last_day = to_beijing(bank.clock.now()).date()
    days = [first_day + dt.timedelta(days=number) for number in range((last_day - first_day).days - 1)]
    lines = [line for day in days for line in read_lines(bank, merchant, day)]
    with bank.books.transaction() as db:
        balance = ledger.get_balance(db, merchant.mchid)
    assert sum(line.net_minor for line in lines) == balance
    assert sorted(line.kind for line in lines) == sorted(
        [
            LineKind.PAYMENT,
            LineKind.PAYMENT,
            LineKind.REFUND,
            LineKind.REFUND,
            LineKind.REFUND_REVERSAL,
            LineKind.OTHER,
            LineKind.PAYOUT,
        ]
    )
    (closed,) = (line for line in lines if line.kind == LineKind.REFUND_REVERSAL)
    (taken,) = (line for line in lines if line.reference == "R-order-2")
    assert (closed.channel_no, closed.net_minor) == (taken.channel_no, -taken.net_minor)

"""Trade bills of WeChat Pay (对账单): the published example lines, days in Beijing, and files that cannot be right."""

import datetime as dt
import hashlib
import json
from typing import Any

import pytest

from channels.base import (
    ListingEntry,
    ListingFailed,
    ListingWindow,
    PaymentState,
    RefundState,
    UnexpectedFormat,
)
from channels.wechat import statements
from channels.wechat.channel import WechatChannel
from channels.wechat.fields import BEIJING, convert_yuan_to_fen
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.wechat.keys import build_account
from tests.support.wechat.server import PlannedServer

channel = WechatChannel()

# Names: pay.weixin.qq.com/docs/merchant/products/bill-download/format-trade.html, 1, ALL.
NAMES = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMMARY_NAMES = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
PAID = (
    "`2026-11-27 00:00:01,`wxab8acb865bb11234,`1900000109,`0,`,`4200000008201712143733500001,`PAY-20261127-000001,"
    "`oUpF8,`NATIVE,`SUCCESS,`CMC,`CNY,`99.90,`0.10,`0,`0,`0.00,`0.00,`,`,`拿铁, 大杯,`,`0.60000,`0.60%,`100.00,"
    "`0.00,`"
)
REFUNDED = (
    "`2026-11-27 23:59:59,`wxab8acb865bb11234,`1900000109,`0,`,`4200000008201712143733500001,`PAY-20261127-000001,"
    "`oUpF8,`NATIVE,`REFUND,`CMC,`CNY,`0.00,`0.00,`50000000382019052709732678859,`REF-20261127-000001,`29.97,`0.03,"
    "`ORIGINAL,`PROCESSING,`拿铁, 大杯,`,`-0.18000,`0.60%,`0.00,`30.00,`"
)
SUMMARY = "`2,`99.90,`29.97,`0.03,`0.42000,`100.00,`30.00"
STATEMENT = "\r\n".join([NAMES, PAID, REFUNDED, SUMMARY_NAMES, SUMMARY, ""])
# The example of pay.weixin.qq.com/wiki/doc/api/wxpay (下载对账单), whose columns are those of older merchants.
PUBLISHED = """\
交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,总金额,代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率
`2014-11-10 16:33:45,`wx2421b1c4370ec43b,`10000100,`0,`1000,`1001690740201411100005734289,`1415640626,`085e9858e3ba5186aafcbaed1,`MICROPAY,`SUCCESS,`OTHERS,`CNY,`0.01,`0.0,`0,`0,`0,`0,`,`,`被扫支付测试,`订单额外描述,`0,`0.60%
`2014-11-10 16:46:14,`wx2421b1c4370ec43b,`10000100,`0,`1000,`1002780740201411100005729794,`1415635270,`085e9858e90ca40c0b5aee463,`MICROPAY,`SUCCESS,`OTHERS,`CNY,`0.01,`0.0,`0,`0,`0,`0,`,`,`被扫支付测试,`订单额外描述,`0,`0.60%
总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额
`2,`0.02,`0.0,`0.0,`0
"""  # noqa: E501
DOWNLOAD_URL = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=a%2Fb%7E&tartype="


def build_window(day: dt.date, *, days: int = 1, **hours: int) -> ListingWindow:
    since = dt.datetime.combine(day, dt.time(), BEIJING) + dt.timedelta(hours=hours.get("later", 0))
    return ListingWindow(build_account(), since, since + dt.timedelta(days=days), PATIENCE_SECONDS)


def plan_statement(planned: PlannedServer, text: str, **changes: Any) -> None:
    content = text.encode("utf-8-sig")
    fields = {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content).hexdigest(),
        "download_url": DOWNLOAD_URL,
        **changes,
    }
    planned.plan(200, json.dumps(fields))
    planned.plan(200, content, headers={})  # the file is not signed


def list_payments(window: ListingWindow) -> list[ListingEntry[Any]]:
    return list(channel.list_payments(window))


@pytest.fixture
def a_later_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "read_clock", lambda: dt.datetime(2026, 11, 30, tzinfo=dt.UTC))


NOVEMBER_27 = dt.date(2026, 11, 27)


def test_payments_of_a_day(planned: PlannedServer) -> None:
    plan_statement(planned, STATEMENT)
    (entry,) = list_payments(build_window(NOVEMBER_27))
    payment = entry.value
    assert (payment.reference, payment.channel_trade_no) == (
        "PAY-20261127-000001",
        "4200000008201712143733500001",
    )
    # The amount of the order, before coupons.
    assert (payment.state, payment.amount_minor, payment.captured_minor) == (
        PaymentState.PAID,
        10_000,
        10_000,
    )
    assert (payment.currency, payment.payment_method) == ("CNY", "wechat_native")
    assert entry.created_at == dt.datetime(2026, 11, 26, 16, 0, 1, tzinfo=dt.UTC)
    bill, download = planned.requests
    assert bill.path == "/v3/bill/tradebill?bill_date=2026-11-27&bill_type=ALL"
    # The signed request goes to the configured server, whatever host the address names.
    assert download.path.startswith("/v3/billdownload/file?token=a%2Fb~")


def test_refunds_of_a_day(planned: PlannedServer) -> None:
    plan_statement(planned, STATEMENT.replace("`PROCESSING", "`SUCCESS"))
    (entry,) = channel.list_refunds(build_window(NOVEMBER_27))
    refund = entry.value
    assert (refund.reference, refund.channel_refund_no) == (
        "REF-20261127-000001",
        "50000000382019052709732678859",
    )
    assert (refund.state, refund.amount_minor, refund.environment) == (RefundState.SUCCEEDED, 3_000, "test")
    assert refund.payment_reference == "PAY-20261127-000001"


def test_the_published_example(planned: PlannedServer) -> None:
    plan_statement(planned, PUBLISHED)
    listed = list_payments(build_window(dt.date(2014, 11, 10)))
    assert [(each.value.reference, each.value.amount_minor) for each in listed] == [
        ("1415640626", 1),
        ("1415635270", 1),
    ]


def test_days_begin_in_beijing(planned: PlannedServer) -> None:
    """16:00 UTC is midnight in Beijing: the window of one hour around it touches two days."""
    for text in (STATEMENT, STATEMENT.replace("2026-11-27", "2026-11-28")):
        plan_statement(planned, text)
    midnight = dt.datetime(2026, 11, 27, 16, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    listed = list_payments(ListingWindow(build_account(), midnight - hour, midnight + hour, PATIENCE_SECONDS))
    assert [entry.created_at for entry in listed] == [midnight + dt.timedelta(seconds=1)]
    paths = [each.path for each in planned.requests if "bill_date" in each.path]
    assert [path.partition("bill_date=")[2][:10] for path in paths] == ["2026-11-27", "2026-11-28"]


@pytest.mark.usefixtures("a_later_day")
def test_a_day_on_which_nothing_happened(planned: PlannedServer) -> None:
    planned.plan(400, json.dumps({"code": "NO_STATEMENT_EXIST", "message": "请求的账单文件不存在"}))
    assert list_payments(build_window(NOVEMBER_27)) == []


def test_a_day_whose_statement_may_still_be_made(
    planned: PlannedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until 10 o'clock of the next day in Beijing, a missing file does not prove an empty day."""
    before = dt.datetime(2026, 11, 28, 9, 59, tzinfo=BEIJING)
    monkeypatch.setattr(statements, "read_clock", lambda: before)
    planned.plan(400, json.dumps({"code": "NO_STATEMENT_EXIST", "message": "请求的账单文件不存在"}))
    with pytest.raises(ListingFailed, match="2026-11-27"):
        list_payments(build_window(NOVEMBER_27))


@pytest.mark.parametrize(
    ("status", "code"), [(400, "STATEMENT_CREATING"), (500, "SYSTEM_ERROR"), (429, "FREQUENCY_LIMITED")]
)
def test_a_statement_that_cannot_be_had_now(planned: PlannedServer, status: int, code: str) -> None:
    planned.plan(status, json.dumps({"code": code, "message": "…"}))
    with pytest.raises(ListingFailed):
        list_payments(build_window(NOVEMBER_27))


@pytest.mark.parametrize("changes", [{"hash_value": "0" * 40}, {"hash_type": "MD5"}])
def test_a_file_without_the_signed_hash(planned: PlannedServer, changes: dict[str, str]) -> None:
    plan_statement(planned, STATEMENT, **changes)
    with pytest.raises(ListingFailed, match="hash"):
        list_payments(build_window(NOVEMBER_27))


def test_an_unsigned_answer_names_no_hash(planned: PlannedServer) -> None:
    planned.plan(
        200, json.dumps({"hash_type": "SHA1", "hash_value": "", "download_url": DOWNLOAD_URL}), headers={}
    )
    with pytest.raises(ListingFailed):
        list_payments(build_window(NOVEMBER_27))


def test_a_refused_download(planned: PlannedServer) -> None:
    planned.plan(200, json.dumps({"hash_type": "SHA1", "hash_value": "", "download_url": DOWNLOAD_URL}))
    planned.plan(403, json.dumps({"code": "NO_AUTH", "message": "…"}), headers={})
    with pytest.raises(ListingFailed):
        list_payments(build_window(NOVEMBER_27))


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAMES,
        f"{NAMES}\r\n{PAID}",  # cut off before the summary
        f"{NAMES}\r\n{PAID[:-20]}\r\n{SUMMARY_NAMES}\r\n{SUMMARY}",
        STATEMENT.replace("`100.00", "`1e2"),
        STATEMENT.replace("`100.00", "`100.005"),
        STATEMENT.replace("2026-11-27 00:00:01", "yesterday"),
        STATEMENT.replace("商户订单号", "订单号"),
        STATEMENT.replace("拿铁", "拿\n铁"),
    ],
)
def test_a_statement_that_cannot_be_right(planned: PlannedServer, text: str) -> None:
    plan_statement(planned, text)
    with pytest.raises(ListingFailed):
        list_payments(build_window(NOVEMBER_27))


@pytest.mark.parametrize("in_the_file", ["PROCESSING", "A_NEW_STATE", ""])
@pytest.mark.parametrize(
    ("now", "state"), [("SUCCESS", "succeeded"), ("CLOSED", "failed"), ("PROCESSING", "pending")]
)
def test_a_refund_that_was_under_way_is_queried(
    planned: PlannedServer, in_the_file: str, now: str, state: str
) -> None:
    """WeChat Pay changes no row after it has made the file."""
    plan_statement(planned, STATEMENT.replace("`PROCESSING", f"`{in_the_file}"))
    answer = {
        "refund_id": "50000000382019052709732678859",
        "out_refund_no": "REF-20261127-000001",
        "out_trade_no": "PAY-20261127-000001",
        "status": now,
        "amount": {"refund": 3_000, "total": 10_000, "currency": "CNY"},
    }
    planned.plan(200, json.dumps(answer))
    (entry,) = channel.list_refunds(build_window(NOVEMBER_27))
    assert (entry.value.state, entry.value.amount_minor) == (state, 3_000)


def test_a_refund_whose_state_cannot_be_queried(planned: PlannedServer) -> None:
    plan_statement(planned, STATEMENT)
    planned.plan(500, json.dumps({"code": "SYSTEM_ERROR", "message": "…"}))
    with pytest.raises(ListingFailed):
        list(channel.list_refunds(build_window(NOVEMBER_27)))


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [("0.01", 1), ("0.1", 10), ("12", 1200), ("12.30000", 1230), ("999999999999.99", 99999999999999)],
)
def test_yuan_become_fen(yuan: str, fen: int) -> None:
    assert convert_yuan_to_fen(yuan) == fen


@pytest.mark.parametrize("text", ["", "-1.00", "1,000.00", "1.001", "NaN", "1e5", "٣", " 1"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(UnexpectedFormat):
        convert_yuan_to_fen(text)

"""Each parser reads its format, and refuses what is cut, changed or does not add up."""

import datetime as dt
import io
import json
import typing
import zipfile
from collections.abc import Sequence

import pytest
import stripe

from settlements.models import LineKind, StatementFormat
from settlements.parsers.base import ParsedLine, PayoutItem, StatedTotals, StatementIdentity, StatementRefused
from settlements.parsers.own_csv import COLUMNS
from settlements.parsers.registry import PARSERS, get_day_period
from settlements.services.calendar import find_last_ready_day, list_missing_days

DAY = dt.date(2026, 11, 27)
IDENTITY = StatementIdentity("wechat", "test", None, DAY)
WECHAT_TRADES = (
    "\ufeff交易时间,商户号,微信订单号,商户订单号,用户标识,交易状态,货币种类,应结订单金额,微信退款单号,商户退款单号,退款金额,"
    "商品名称,手续费,费率,订单金额,申请退款金额\r\n"
    "`2026-11-27 09:00:00,`1900,`4200,`PAY-1,`openid,`SUCCESS,`CNY,`100.00,`0,`0,`0.00,`a, b,"
    "`0.60000,`0.60%,`100.00,`0.00\r\n"
    "`2026-11-27 10:00:00,`1900,`4200,`PAY-1,`openid,`REFUND,`CNY,`0.00,`5000,`REF-1,`20.00,`a, b,"
    "`-0.12000,`0.60%,`0.00,`20.00\r\n"
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`2,`100.00,`20.00,`0.00,`0.48000,`100.00,`20.00\r\n"
)
WECHAT_FUNDS = (
    "\ufeff记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元)\r\n"
    "`2026-11-27 09:00:00,`4200,`1,`交易,`交易,`收入,`100.00,`100.00\r\n"
    "`2026-11-27 09:00:00,`4200,`2,`交易,`扣除交易手续费,`支出,`0.60,`99.40\r\n"
    "`2026-11-27 23:00:00,`900,`3,`充值/提现,`提现,`支出,`99.40,`0.00\r\n"
    "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n"
    "`3.0,`1.0,`100.00,`2.0,`100.00\r\n"
)
ALIPAY_DETAILS = (
    "#支付宝业务明细查询\r\n#账号：[20880156]\r\n"
    "#起始日期：[2026年11月27日 00:00:00]   终止日期：[2026年11月28日 00:00:00]\r\n#---业务明细列表---\r\n"
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,商家实收（元）,退款批次号/请求号,服务费（元）,备注\r\n"
    "2026\t,PAY_1\t,交易,a,b,2026-11-27 09:00:00,2026-11-27 09:00:01,100.00,\t,-0.60,\r\n"
    "2026\t,PAY_1\t,退款,a,2026-11-27 09:00:00,2026-11-27 10:00:00,-20.00,REF_1\t,0.12,\r\n"
    "#---业务明细列表结束---\r\n#交易合计：1笔，商家实收共100.00元，商家优惠共0.00元\r\n"
    "#退款合计：1笔，商家实收退款共-20.00元，商家优惠退款共0.00元\r\n#导出时间：[x]\r\n"
)


def build_zip(details: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("details.csv", details.encode("gbk"))
    return file.getvalue()


def build_stripe(
    transactions: Sequence[dict[str, object]], items: Sequence[tuple[str, str, int]] = ()
) -> bytes:
    records: list[object] = [
        {"object": "balance_transaction", "currency": "usd", **each} for each in transactions
    ]
    records += [
        {
            "object": "payout_item",
            "payout": payout,
            "balance_transaction": {"id": line, "net": net, "currency": "usd"},
        }
        for payout, line, net in items
    ]
    records.append({"object": "end_of_statement", "count": len(records)})
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def build_fee_csv(kind: str, *, gross: str, fee: str) -> bytes:
    line = f"{kind},2026-11-27T00:00:00Z,USD,{gross},{fee},{gross},,,"
    return f"{','.join(COLUMNS)}\n{line}\ntotal,,USD,{gross},{fee},{gross},1,,\n".encode()


def parse(format: StatementFormat, content: bytes) -> list[ParsedLine | PayoutItem | StatedTotals]:
    return list(PARSERS[format](io.BytesIO(content), IDENTITY))


def list_lines(format: StatementFormat, content: bytes) -> list[tuple[str, str, int, int]]:
    found = [each for each in parse(format, content) if isinstance(each, ParsedLine)]
    return [(line.kind.value, line.reference, line.gross_minor, line.fee_minor) for line in found]


CHARGE = {
    "id": "txn_1",
    "type": "charge",
    "reporting_category": "charge",
    "amount": 1_000,
    "fee": 59,
    "net": 941,
    "created": 1_795_000_000,
    "fee_details": [{"type": "stripe_fee", "amount": 59}],
    "source": {
        "id": "ch_1",
        "payment_intent": "pi_1",
        "metadata": {"payment_platform_payment_no": "PAY-1", "payment_platform_environment": "test"},
    },
}
PAYOUT = {
    "id": "txn_2",
    "type": "payout",
    "reporting_category": "payout",
    "amount": -941,
    "fee": 0,
    "net": -941,
    "created": 1_795_000_001,
    "fee_details": [],
    "source": {"id": "po_1", "automatic": True},
}


# Types of Stripe that are no payment, refund, fee or payout: holds and reserves, top-ups, Issuing, transfers to
# connected accounts, advances and loans. A person decides them. The category of an adjustment says more.
STRIPE_OTHER_TYPES = {
    "adjustment",
    "advance",
    "advance_funding",
    "anticipation_repayment",
    "climate_order_purchase",
    "climate_order_refund",
    "connect_collection_transfer",
    "contribution",
    "fee_credit_funding",
    "inbound_transfer",
    "inbound_transfer_reversal",
    "issuing_authorization_hold",
    "issuing_authorization_release",
    "issuing_dispute",
    "issuing_dispute_provisional_credit",
    "issuing_dispute_provisional_credit_reversal",
    "issuing_transaction",
    "obligation_outbound",
    "obligation_reversal_inbound",
    "payment_network_reserve_hold",
    "payment_network_reserve_release",
    "payment_unreconciled",
    "payout_minimum_balance_hold",
    "payout_minimum_balance_release",
    "reserve_hold",
    "reserve_release",
    "reserve_transaction",
    "reserved_funds",
    "stripe_balance_payment_debit",
    "stripe_balance_payment_debit_reversal",
    "tax_fund",
    "topup",
    "topup_reversal",
    "transfer",
    "transfer_cancel",
    "transfer_failure",
    "transfer_refund",
}


def read_stripe_line(type_name: str, category: str, amount: int) -> ParsedLine:
    transaction = {
        **CHARGE,
        "type": type_name,
        "reporting_category": category,
        "amount": amount,
        "net": amount,
        "fee": 0,
        "fee_details": [],
    }
    line = parse(StatementFormat.STRIPE, build_stripe([transaction]))[0]
    assert isinstance(line, ParsedLine)
    return line


def test_wechat_trades() -> None:
    assert list_lines(StatementFormat.WECHAT_TRADES, WECHAT_TRADES.encode()) == [
        ("payment", "PAY-1", 10_000, 60),
        ("refund", "REF-1", -2_000, -12),
    ]


def test_wechat_fees_below_a_fen_are_rounded_in_a_line_of_their_own() -> None:
    text = (
        WECHAT_TRADES.replace("`0.60000", "`0.60400")
        .replace("`-0.12000", "`-0.11800")
        .replace("`0.48000", "`0.48600")
    )
    assert list_lines(StatementFormat.WECHAT_TRADES, text.encode())[-1] == ("rounding", "", 0, 1)


def test_of_wechats_coupons_that_the_merchant_pays_only_the_rest_is_money() -> None:
    """免充值代金券: WeChat Pay settles 90.00 of an order of 100.00, and takes 18.00 back when 20.00 are refunded."""
    text = WECHAT_TRADES.replace("`CNY,`100.00,", "`CNY,`90.00,").replace("`REF-1,`20.00,", "`REF-1,`18.00,")
    text = text.replace("`2,`100.00,`20.00,", "`2,`90.00,`18.00,")
    assert "`0.60%,`100.00,`0.00" in text
    assert list_lines(StatementFormat.WECHAT_TRADES, text.encode()) == [
        ("payment", "PAY-1", 9_000, 60),
        ("refund", "REF-1", -1_800, -12),
    ]


def test_wechat_totals_as_in_the_bill_of_its_own_sdk() -> None:
    """tests/fixtures/bill.ALL.csv of wechatpay-apiv3/wechatpay-php: `45.0` rows, and two decimals of the fees."""
    totals = "`2,`100.00,`20.00,`0.00,`0.48000,`100.00,`20.00"
    assert totals in WECHAT_TRADES
    text = WECHAT_TRADES.replace(totals, "`2.0,`100.0,`20.0,`0.0,`0.48,`100.0,`20.0")
    assert list_lines(StatementFormat.WECHAT_TRADES, text.encode()) == [
        ("payment", "PAY-1", 10_000, 60),
        ("refund", "REF-1", -2_000, -12),
    ]


def test_wechat_trades_of_an_old_merchant() -> None:
    """Without the columns of coupons: format-trade.html, the first note."""
    text = (
        "交易时间,商户号,微信订单号,商户订单号,用户标识,交易状态,货币种类,总金额,微信退款单号,商户退款单号,退款金额,商品名称,手续费,费率\r\n"
        "`2026-11-27 09:00:00,`1900,`4200,`PAY-1,`openid,`SUCCESS,`CNY,`100.00,`0,`0,`0,`a,`0.60000,`0.60%\r\n"
        "`2026-11-27 10:00:00,`1900,`4200,`PAY-1,`openid,`REFUND,`CNY,`0.00,`5000,`REF-1,`20.00,`a,`-0.12000,`0.60%\r\n"
        "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额\r\n"
        "`2,`100.00,`20.00,`0.0,`0.48000\r\n"
    )
    assert list_lines(StatementFormat.WECHAT_TRADES, text.encode()) == [
        ("payment", "PAY-1", 10_000, 60),
        ("refund", "REF-1", -2_000, -12),
    ]


def _revoke(text: str) -> str:
    """Adds a row of an order that was paid at a till and revoked: it has no number of a refund."""
    revoked = (
        text.splitlines(keepends=True)[2].replace("REFUND", "REVOKED").replace("`5000,`REF-1,", "`0,`0,")
    )
    return text.replace("总交易单数", revoked + "总交易单数", 1)


def test_a_wechat_order_that_was_revoked_gives_its_money_back() -> None:
    text = _revoke(WECHAT_TRADES)
    text = text.replace("`2,`100.00,`20.00,`0.00,`0.48000,", "`3,`100.00,`40.00,`0.00,`0.36000,")
    assert list_lines(StatementFormat.WECHAT_TRADES, text.encode())[-1] == ("refund", "", -2_000, -12)


def test_a_wechat_order_that_was_revoked_unpaid_moves_no_money() -> None:
    text = (
        _revoke(WECHAT_TRADES).replace("`0,`0,`20.00,", "`0,`0,`0.00,").replace("`2,`100.00,", "`3,`100.00,")
    )
    parsed = parse(StatementFormat.WECHAT_TRADES, text.encode())
    assert [each.kind for each in parsed if isinstance(each, ParsedLine)] == ["payment", "refund"]
    totals = parsed[-1]
    assert isinstance(totals, StatedTotals)
    assert totals.sums["CNY"]["count"] == 2


def test_personal_data_of_the_customer_is_not_stored() -> None:
    details = ALIPAY_DETAILS.replace("商家实收（元）,", "对方账户,商家实收（元）,", 1)
    details = details.replace(":01,100.00", ":01,buyer@example.com,100.00").replace(
        ":00,-20.00", ":00,buyer@example.com,-20.00"
    )
    stored = [
        *parse(StatementFormat.ALIPAY_TRADES, build_zip(details)),
        *parse(StatementFormat.WECHAT_TRADES, WECHAT_TRADES.encode()),
    ]
    raw = [dict(each.raw) for each in stored if isinstance(each, ParsedLine)]
    assert len(raw) == 4
    assert "buyer@example.com" not in str(raw)
    assert "openid" not in str(raw)


def test_wechat_funds_has_only_the_withdrawal() -> None:
    assert list_lines(StatementFormat.WECHAT_FUNDS, WECHAT_FUNDS.encode()) == [("payout", "", -9_940, 0)]


@pytest.mark.parametrize(
    ("name", "subtype", "direction", "line"),
    [
        ("充值/提现", "提现", "支出", ("payout", -2_000)),
        ("充值/提现", "提现", "收入", ("payout", 2_000)),  # the bank gave it back
        ("提现", "提现", "支出", ("payout", -2_000)),
        ("充值/提现", "扫码充值", "收入", ("other", 2_000)),
        ("企业付款", "企业付款", "支出", ("other", -2_000)),
        # The trade bill never says that a refund was closed: only here does its money come back.
        ("退款", "退款关闭", "收入", ("refund_reversal", 2_000)),
        ("退款", "退款", "支出", None),
        ("退款", "退还交易手续费", "收入", None),
        ("交易", "扣除交易手续费", "支出", None),
    ],
)
def test_each_kind_of_a_row_of_wechats_funds(
    name: str, subtype: str, direction: str, line: tuple[str, int] | None
) -> None:
    is_in = direction == "收入"
    row = (
        f"`2026-11-27 22:00:00,`5000,`9,`{name},`{subtype},`{direction},`20.00,`{20 if is_in else -20}.00\r\n"
    )
    text = WECHAT_FUNDS.splitlines(keepends=True)
    totals = "`1.0,`1.0,`20.00,`0.0,`0.00" if is_in else "`1.0,`0.0,`0.00,`1.0,`20.00"
    found = list_lines(StatementFormat.WECHAT_FUNDS, f"{text[0]}{row}{text[4]}{totals}\r\n".encode())
    assert found == ([(line[0], "", line[1], 0)] if line else [])


def test_alipay_trades() -> None:
    assert list_lines(StatementFormat.ALIPAY_TRADES, build_zip(ALIPAY_DETAILS)) == [
        ("payment", "PAY-1", 10_000, 60),
        ("refund", "REF-1", -2_000, -12),
    ]


def test_stripe() -> None:
    parsed = parse(StatementFormat.STRIPE, build_stripe([CHARGE, PAYOUT], [("po_1", "txn_1", 941)]))
    charge, payout, item, totals = parsed
    assert isinstance(charge, ParsedLine)
    assert (charge.kind, charge.reference, charge.channel_no, charge.net_minor) == (
        LineKind.PAYMENT,
        "PAY-1",
        "pi_1",
        941,
    )
    assert isinstance(payout, ParsedLine)
    assert (payout.kind, payout.payout_no) == (LineKind.PAYOUT, "po_1")
    assert item == PayoutItem("po_1", "txn_1")
    assert isinstance(totals, StatedTotals)


@pytest.mark.parametrize(
    ("type_name", "category", "amount", "line"),
    [
        ("charge", "charge", 500, ("payment", 500, 0)),
        ("payment", "charge", 500, ("payment", 500, 0)),
        ("payment_failure_refund", "charge_failure", -500, ("payment", -500, 0)),
        ("refund", "partial_capture_reversal", -500, ("payment", -500, 0)),
        ("refund", "refund", -500, ("refund", -500, 0)),
        ("payment_refund", "refund", -500, ("refund", -500, 0)),
        # A refund by a local payment method that failed.
        ("payment_refund", "refund", 500, ("refund_reversal", 500, 0)),
        ("refund_failure", "refund_failure", 500, ("refund_reversal", 500, 0)),
        ("adjustment", "refund_failure", 500, ("refund_reversal", 500, 0)),
        ("adjustment", "dispute", -500, ("dispute", -500, 0)),
        ("adjusted_for_overdraft_transaction", "dispute", -500, ("dispute", -500, 0)),
        ("adjustment", "dispute_reversal", 500, ("dispute_reversal", 500, 0)),
        ("stripe_fee", "fee", -500, ("fee", 0, 500)),
        # A connected account gets an application fee back.
        ("adjustment", "fee", 500, ("fee", 0, -500)),
        ("network_cost", "network_cost", -500, ("fee", 0, 500)),
        ("tax_fee", "tax", -500, ("fee", 0, 500)),
        ("application_fee", "platform_earning", 500, ("application_fee", 500, 0)),
        ("application_fee_refund", "platform_earning_refund", -500, ("application_fee", -500, 0)),
        ("payout", "payout", -500, ("payout", -500, 0)),
        ("payout_failure", "payout_reversal", 500, ("payout", 500, 0)),
        ("adjustment", "other_adjustment", -500, ("other", -500, 0)),
        ("reserved_funds", "risk_reserved_funds", -500, ("other", -500, 0)),
    ],
)
def test_each_kind_of_stripes_balance_transactions(
    type_name: str, category: str, amount: int, line: tuple[str, int, int]
) -> None:
    """docs.stripe.com/reports/reporting-categories has the types of each category."""
    found = read_stripe_line(type_name, category, amount)
    assert (found.kind, found.gross_minor, found.fee_minor) == line


def test_each_type_that_stripe_publishes_is_known() -> None:
    """A version of the SDK with a further type fails here: decide its kind first."""
    published = typing.get_args(typing.get_args(stripe.BalanceTransaction.__annotations__["type"])[0])
    assert "charge" in published
    others = {each for each in published if read_stripe_line(each, "", -500).kind == LineKind.OTHER}
    assert others == STRIPE_OTHER_TYPES


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        (
            StatementFormat.WECHAT_TRADES,
            WECHAT_TRADES.replace("`0.48000", "`0.49000").encode(),
            "手续费总金额",
        ),
        (
            StatementFormat.WECHAT_TRADES,
            WECHAT_TRADES.replace("`2,`100.00,", "`3,`100.00,").encode(),
            "总交易单数",
        ),
        (StatementFormat.WECHAT_TRADES, WECHAT_TRADES.encode()[:-150], "line"),
        (StatementFormat.WECHAT_FUNDS, WECHAT_FUNDS.replace("`99.40\r", "`99.41\r").encode(), "line 3"),
        (
            StatementFormat.ALIPAY_TRADES,
            build_zip(ALIPAY_DETAILS.replace("共100.00", "共100.01")),
            "交易合计",
        ),
        (StatementFormat.ALIPAY_TRADES, build_zip(ALIPAY_DETAILS)[:200], "damaged"),
        (
            StatementFormat.ALIPAY_TRADES,
            build_zip(ALIPAY_DETAILS.replace("11月27日", "11月26日")),
            "2026-11-26",
        ),
        (StatementFormat.STRIPE, build_stripe([{**CHARGE, "net": 942}]), "line 1"),
        (StatementFormat.STRIPE, build_stripe([{**CHARGE, "fee_details": []}]), "fee_details"),
        (StatementFormat.STRIPE, build_stripe([{**CHARGE, "fee_details": 59}]), "fee_details"),
        (StatementFormat.STRIPE, build_stripe([PAYOUT], [("po_1", "txn_1", 940)]), "payout po_1"),
        (StatementFormat.STRIPE, build_stripe([CHARGE]).splitlines()[0], "incomplete"),
        (StatementFormat.CSV, b"\xff\xfe", "UTF-8"),
        (StatementFormat.CSV, b"kind,amount\n", "line 1"),
        (StatementFormat.CSV, build_fee_csv("rounding", gross="0.00", fee="0.00"), "line 2: .*'fee'"),
        (StatementFormat.CSV, build_fee_csv("fee", gross="-3.00", fee="0.00"), "line 2: .*'fee'"),
    ],
)
def test_files_that_do_not_add_up_are_refused(format: StatementFormat, content: bytes, message: str) -> None:
    with pytest.raises(StatementRefused, match=message):
        parse(format, content)


def test_the_calendar_is_that_of_the_channel() -> None:
    start, end = get_day_period("wechat", DAY)
    assert (start.isoformat(), end - start) == ("2026-11-27T00:00:00+08:00", dt.timedelta(days=1))
    before_ten = dt.datetime(2026, 11, 28, 1, 59, tzinfo=dt.UTC)  # 9:59 in Beijing
    assert find_last_ready_day("wechat", before_ten) == dt.date(2026, 11, 26)
    assert find_last_ready_day("wechat", before_ten + dt.timedelta(minutes=1)) == DAY


def test_each_missing_day_is_fetched() -> None:
    now = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
    assert list_missing_days("wechat", now, []) == [DAY]
    by_hand = [dt.date(2026, 11, 23), dt.date(2026, 11, 26)]
    assert list_missing_days("wechat", now, by_hand) == [dt.date(2026, 11, 24), dt.date(2026, 11, 25), DAY]
    long_ago = list_missing_days("wechat", now, [dt.date(2026, 1, 1)])
    assert (len(long_ago), long_ago[0], long_ago[-1]) == (31, dt.date(2026, 10, 28), DAY)

"""The lines of the bill files: no backtick in headings, one before each value; yuan; Beijing times."""

import sqlite3
from collections.abc import Iterable, Sequence

from channels.wechat.sandbox.clock import format_bill_time
from channels.wechat.sandbox.merchants import SandboxMerchant

_START = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额"
)
_REFUND = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
TRADE_HEADINGS = {
    "ALL": f"{_START},{_REFUND},商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_START},商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": (
        f"{_START},退款申请时间,退款成功时间,{_REFUND},商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
    ),
}
TRADE_TOTALS = {
    "ALL": "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额",
    "SUCCESS": "总交易单数,应结订单总金额,手续费总金额,订单总金额",
    "REFUND": "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额",
}
FUND_FLOW_HEADINGS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
FUND_FLOW_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
# The file begins with a byte order mark, and its lines end as on Windows.
_BYTE_ORDER_MARK = "\ufeff"


def format_yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _format_fee(fen: int) -> str:
    return f"{format_yuan(fen)}000"  # fees have five decimals


def _line(values: Iterable[str]) -> str:
    return ",".join(f"`{_one_line(value)}" for value in values)


def _one_line(value: str) -> str:
    return " ".join(value.splitlines())


def format_trade_bill(
    subtype: str, merchant: SandboxMerchant, payments: Sequence[sqlite3.Row], refunds: Sequence[sqlite3.Row]
) -> str:
    """`subtype` is ALL, SUCCESS or REFUND."""
    rate = f"{merchant.fee_per_myriad / 100:.2f}%"
    lines = [(row["paid_at"], _payment_line(subtype, merchant, row, rate)) for row in payments]
    lines += [(row["created_at"], _refund_line(subtype, merchant, row, rate)) for row in refunds]
    lines.sort(key=lambda line: line[0])
    paid = sum(row["total"] for row in payments)
    refunded = sum(row["amount"] for row in refunds)
    fee = sum(row["fee"] for row in payments) - sum(row["fee"] for row in refunds)
    if subtype == "SUCCESS":
        totals = [str(len(lines)), format_yuan(paid), _format_fee(fee), format_yuan(paid)]
    else:
        totals = [
            str(len(lines)),
            format_yuan(paid),
            format_yuan(refunded),
            "0.00",
            _format_fee(fee),
            format_yuan(paid),
            format_yuan(refunded),
        ]
    return _file(
        [TRADE_HEADINGS[subtype], *(line for _, line in lines), TRADE_TOTALS[subtype], _line(totals)]
    )


def _start_values(merchant: SandboxMerchant, row: sqlite3.Row, at: float, state: str, due: int) -> list[str]:
    return [
        format_bill_time(at),
        row["appid"],
        merchant.mchid,
        "0",  # no sub-merchant
        "",
        row["transaction_id"],
        row["out_trade_no"],
        row["openid"],
        row["trade_type"],
        state,
        "OTHERS",
        "CNY",
        format_yuan(due),
        "0.00",
    ]


def _payment_line(subtype: str, merchant: SandboxMerchant, row: sqlite3.Row, rate: str) -> str:
    values = _start_values(merchant, row, row["paid_at"], "SUCCESS", row["total"])
    if subtype == "ALL":
        values += ["0", "0", "0.00", "0.00", "", ""]
    values += [row["description"], row["attach"], _format_fee(row["fee"]), rate, format_yuan(row["total"])]
    return _line([*values, "0.00", ""] if subtype == "ALL" else [*values, ""])


def _refund_line(subtype: str, merchant: SandboxMerchant, row: sqlite3.Row, rate: str) -> str:
    """交易时间 is when the refund was accepted: "发起退款成功时间（注：不是退款成功时间）"."""
    values = _start_values(merchant, row, row["created_at"], "REFUND", 0)
    if subtype == "REFUND":
        succeeded = format_bill_time(row["settled_at"]) if row["status"] == "SUCCESS" else ""
        values += [format_bill_time(row["created_at"]), succeeded]
    amount = format_yuan(row["amount"])
    values += [row["refund_id"], row["out_refund_no"], amount, "0.00", "ORIGINAL", row["status"]]
    values += [row["description"], row["attach"], _format_fee(-row["fee"]), rate, "0.00", amount, ""]
    return _line(values)


def format_fund_flow_bill(movements: Sequence[sqlite3.Row], balance: int) -> str:
    """`balance` is what the merchant had when the day began. A refund and its returned fee are one line."""
    lines: list[str] = []
    incomes: list[int] = []
    expenses: list[int] = []
    for row in movements:
        if row["kind"] in ("fee_return", "fee_again"):
            continue
        amount = row["amount"]
        if row["refund_id"] is not None:
            amount += row["fee"] if row["kind"] == "refund" else -row["fee"]
        balance += amount
        (incomes if amount > 0 else expenses).append(abs(amount))
        lines.append(_movement_line(row, amount, balance))
    totals = [
        f"{len(lines)}.0",
        f"{len(incomes)}.0",
        format_yuan(sum(incomes)),
        f"{len(expenses)}.0",
        format_yuan(sum(expenses)),
    ]
    return _file([FUND_FLOW_HEADINGS, *lines, FUND_FLOW_TOTALS, _line(totals)])


# 业务名称 and 业务类型: docs/merchant/products/bill-download/format-fundflow.html. It lists none for 充值/提现;
# a file that a merchant shows has 扫码充值.
_NAMES = {
    "payment": ("交易", "交易"),
    "fee": ("交易", "扣除交易手续费"),
    "refund": ("退款", "退款"),
    "refund_return": ("退款", "退款关闭"),
    "withdrawal": ("充值/提现", "提现"),
    "deposit": ("充值/提现", "扫码充值"),
}


def _movement_line(row: sqlite3.Row, amount: int, balance: int) -> str:
    name, kind = _NAMES[row["kind"]]
    is_refund = row["refund_id"] is not None
    remark = ""
    if is_refund:
        remark = f"退款总金额{format_yuan(row['refund_amount'])}元;含手续费{format_yuan(row['fee'])}元"
    number = row["refund_no"] if is_refund else row["transaction_id"]
    flow_no = f"1{row['id']:030d}"
    return _line(
        [
            format_bill_time(row["at"]),
            number or flow_no,
            flow_no,
            name,
            kind,
            "收入" if amount > 0 else "支出",
            format_yuan(abs(amount)),
            format_yuan(balance),
            "system",
            remark,
            f"REF{row['transaction_id']}" if is_refund else (row["transaction_id"] or ""),
        ]
    )


def _file(lines: Iterable[str]) -> str:
    return _BYTE_ORDER_MARK + "\r\n".join(lines) + "\r\n"

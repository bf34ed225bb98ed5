"""What the channels report of the month: one file for each day of their calendar, in the formats that they publish, and
with planted errors.

Shares no code with the parsers: the files are written from the documentation of the formats.

- Stripe: balance transactions with their sources expanded (docs.stripe.com/api/balance_transactions/object), three
  payouts that list what they pay
- WeChat Pay: trade bills (format-trade.html) and fund flow bills with three withdrawals
- Alipay: zips of two files in GBK, as downloaded in June 2026
- PayPal: the CSV format of docs/SETTLEMENTS.md
"""

import datetime as dt
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from benchmarks.month_payments import MonthPayment, list_movements

BEIJING = dt.timezone(dt.timedelta(hours=8))
FORMATS = {"stripe": "stripe", "wechat": "wechat_trades", "alipay": "alipay_trades", "paypal": "csv"}
PAYOUT_DAYS = (10, 20, 30)
# Parts of a million and minor units that a channel keeps of a payment.
FEES = {"stripe": (29_000, 30), "wechat": (6_000, 0), "alipay": (6_000, 0), "paypal": (34_900, 49)}
DISPUTE_FEE_MINOR = 1_500


@dataclass(slots=True)
class ReportedLine:
    """`fee_minor` is what the channel keeps; in WeChat Pay's bill it has parts of a fen."""

    kind: str
    gross_minor: int
    fee_minor: int
    currency: str
    at: dt.datetime
    reference: str
    channel_no: str
    line_no: str
    trade_reference: str

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.fee_minor


@dataclass(frozen=True, slots=True)
class StatementOnDisk:
    """`moved_minor` is what the account lost beyond the movements, by currency: payouts, and the rounding of fees."""

    path: Path
    format: str
    channel: str
    day: dt.date
    lines: int
    moved_minor: Mapping[str, int]


def report(payment: MonthPayment) -> Iterator[ReportedLine]:
    """What the channel's own records have of the payment."""
    for movement in list_movements(payment):
        is_payment = movement.kind == "payment"
        if is_payment:
            reference, channel_no = payment.payment_no, payment.trade_no
        elif movement.kind.startswith("refund"):
            reference = payment.name_refund(movement.number)
            channel_no = payment.name_refund_at_channel(movement.number)
        else:
            reference, channel_no = "", payment.dispute_no_at_channel
        yield ReportedLine(
            kind=movement.kind,
            gross_minor=movement.amount_minor,
            fee_minor=_compute_fee(payment.channel, movement.kind, movement.amount_minor),
            currency=payment.currency,
            at=movement.moved_at.replace(microsecond=0),
            reference=reference,
            channel_no=channel_no,
            line_no=f"txn_{payment.number}_{movement.kind}_{movement.number}",
            trade_reference=payment.payment_no,
        )


def _compute_fee(channel: str, kind: str, gross_minor: int) -> int:
    """Kept of payments; WeChat Pay gives it back with a refund, and cards cost a fee for a dispute."""
    rate, fixed = FEES[channel]
    if kind == "payment" or (channel == "wechat" and kind == "refund"):
        fee = (abs(gross_minor) * rate * 2 + 1_000_000) // 2_000_000 + fixed  # rounded half up
        return fee if gross_minor > 0 else -fee
    return DISPUTE_FEE_MINOR if kind == "dispute" and channel == "stripe" else 0


def write_statements(
    folder: Path, channel: str, environment: str, lines: Iterable[ReportedLine]
) -> list[StatementOnDisk]:
    """Oldest first. Days begin in the channel's own time zone."""
    zone = BEIJING if channel in ("wechat", "alipay") else dt.UTC
    by_day: dict[dt.date, list[ReportedLine]] = defaultdict(list)
    for line in lines:
        by_day[line.at.astimezone(zone).date()].append(line)
    written = []
    unpaid: list[ReportedLine] = []
    for day in sorted(by_day):
        of_day = sorted(by_day[day], key=lambda line: line.at)
        pays = day.day in PAYOUT_DAYS
        unpaid += of_day
        paid = _sum_payouts(unpaid) if pays else {}
        format, moved = FORMATS[channel], paid if channel == "stripe" else {}
        if channel == "wechat":
            moved = {"CNY": _round_fees(of_day)}
        content = build_statement(channel, environment, day, of_day, unpaid if pays else [])
        written.append(_write(folder, channel, format, day, content, len(of_day), moved))
        if channel == "wechat" and pays:
            content = _build_wechat_funds(day, paid["CNY"])
            written.append(_write(folder, channel, "wechat_funds", day, content, 1, paid))
        if pays:
            unpaid = []
    return written


def _sum_payouts(lines: Iterable[ReportedLine]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[line.currency] += line.net_minor
    return dict(sums)


def _write(
    folder: Path,
    channel: str,
    format: str,
    day: dt.date,
    content: bytes,
    lines: int,
    moved_minor: Mapping[str, int],
) -> StatementOnDisk:
    path = folder / f"{format}-{day}"
    path.write_bytes(content)
    return StatementOnDisk(path, format, channel, day, lines, moved_minor)


def build_statement(
    channel: str, environment: str, day: dt.date, lines: Sequence[ReportedLine], paid: Sequence[ReportedLine]
) -> bytes:
    match channel:
        case "stripe":
            return _build_stripe(environment, day, lines, paid)
        case "wechat":
            return _build_wechat_trades(lines)
        case "alipay":
            return _build_alipay(day, lines)
        case _:
            return _build_csv(lines)


_STRIPE_TYPES = {
    "payment": ("charge", "charge", "ch"),
    "refund": ("refund", "refund", "re"),
    "refund_reversal": ("refund_failure", "refund_failure", "re"),
    "dispute": ("adjustment", "dispute", "dp"),
    "dispute_reversal": ("adjustment", "dispute_reversal", "dp"),
}


def _build_stripe(
    environment: str, day: dt.date, lines: Sequence[ReportedLine], paid: Sequence[ReportedLine]
) -> bytes:
    records = [_build_stripe_transaction(environment, line) for line in lines]
    by_currency: dict[str, list[ReportedLine]] = defaultdict(list)
    for line in paid:
        by_currency[line.currency].append(line)
    for currency, of_payout in by_currency.items():
        payout_no, total = f"po_{day}_{currency}", sum(line.net_minor for line in of_payout)
        records.append(
            {
                "object": "balance_transaction",
                "id": f"txn_{payout_no}",
                "type": "payout",
                "reporting_category": "payout",
                "amount": -total,
                "fee": 0,
                "net": -total,
                "currency": currency.lower(),
                "created": int(dt.datetime.combine(day, dt.time(23, 59, 59), dt.UTC).timestamp()),
                "fee_details": [],
                "source": {"id": payout_no, "object": "payout", "automatic": True},
            }
        )
        records += [
            {
                "object": "payout_item",
                "payout": payout_no,
                "balance_transaction": {
                    "id": line.line_no,
                    "net": line.net_minor,
                    "currency": line.currency.lower(),
                },
            }
            for line in of_payout
        ]
    records.append({"object": "end_of_statement", "count": len(records)})
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _build_stripe_transaction(environment: str, line: ReportedLine) -> dict[str, object]:
    kind, category, prefix = _STRIPE_TYPES[line.kind]
    name = "payment_no" if line.kind == "payment" else "refund_no"
    metadata = {"payment_platform_environment": environment, f"payment_platform_{name}": line.reference}
    is_charge = line.kind == "payment"
    return {
        "object": "balance_transaction",
        "id": line.line_no,
        "type": kind,
        "reporting_category": category,
        "amount": line.gross_minor,
        "fee": line.fee_minor,
        "net": line.net_minor,
        "currency": line.currency.lower(),
        "created": int(line.at.timestamp()),
        "fee_details": [{"type": "stripe_fee", "amount": line.fee_minor}] if line.fee_minor else [],
        "source": {
            "id": f"{prefix}_{line.line_no}" if is_charge else line.channel_no,
            "payment_intent": line.channel_no if is_charge else None,
            "metadata": metadata if line.reference else {},
        },
    }


_WECHAT_NAMES = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
_WECHAT_TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)


def _compute_fee_in_yuan(line: ReportedLine) -> Decimal:
    """The exact fee, unless another one was planted."""
    exact = Decimal(line.gross_minor) * 6 / 100_000
    return exact if abs(exact * 100 - line.fee_minor) < 1 else Decimal(line.fee_minor) / 100


def _round_fees(lines: Sequence[ReportedLine]) -> int:
    """What the bill's own sum of the fees has more than the sum of the rounded fees, in fen."""
    fees = sum((_compute_fee_in_yuan(line) for line in lines), Decimal(0)) * 100
    return int(fees.to_integral_value(ROUND_HALF_UP)) - sum(line.fee_minor for line in lines)


def _build_wechat_trades(lines: Sequence[ReportedLine]) -> bytes:
    rows, fees, paid, refunded = [_WECHAT_NAMES], Decimal(0), 0, 0
    for line in lines:
        amount, is_refund = abs(line.gross_minor), line.kind == "refund"
        fee = _compute_fee_in_yuan(line)
        fees += fee
        paid, refunded = paid + (not is_refund) * amount, refunded + is_refund * amount
        yuan = _major(amount)
        zero = "0.00"
        refund_cells = (
            (line.channel_no, line.reference, yuan, zero, "ORIGINAL", "SUCCESS")
            if is_refund
            else ("0", "0", zero, zero, "", "")
        )
        cells = (
            f"{line.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}", "wxab8acb865bb11234", "1900000109", "0", "",
            line.channel_no, line.trade_reference if is_refund else line.reference, "oUpF8", "NATIVE",
            "REFUND" if is_refund else "SUCCESS", "CMC", "CNY", zero if is_refund else yuan, zero, *refund_cells,
            "拿铁, 大杯", "", f"{fee:.5f}", "0.60%", zero if is_refund else yuan, yuan if is_refund else zero, "",
        )  # fmt: skip
        rows.append(",".join(f"`{cell}" for cell in cells))
    totals = (
        len(lines),
        _major(paid),
        _major(refunded),
        "0.00",
        f"{fees:.5f}",
        _major(paid),
        _major(refunded),
    )
    rows += [_WECHAT_TOTALS, ",".join(f"`{total}" for total in totals), ""]
    return "\r\n".join(rows).encode("utf-8-sig")


def _build_wechat_funds(day: dt.date, balance_minor: int) -> bytes:
    """All that the account holds is withdrawn."""
    names = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元)"
    amount = _major(balance_minor)
    row = f"`{day} 23:00:00,`W{day:%Y%m%d},`F{day:%Y%m%d},`充值/提现,`提现,`支出,`{amount},`0.00"
    totals = f"`1.0,`0.0,`0.00,`1.0,`{amount}"
    text = "\r\n".join([names, row, "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额", totals, ""])
    return text.encode("utf-8-sig")


_ALIPAY_NAMES = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,"
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)


def _build_alipay(day: dt.date, lines: Sequence[ReportedLine]) -> bytes:
    rows, counts, sums = [], {"payment": 0, "refund": 0}, {"payment": 0, "refund": 0}
    for line in lines:
        counts[line.kind] += 1
        sums[line.kind] += line.gross_minor
        at, amount = f"{line.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}", _major(line.gross_minor)
        is_refund = line.kind == "refund"
        request_no = line.reference.replace("-", "_") if is_refund else ""
        trade_no = line.channel_no.partition(":")[0]
        rows.append(
            f"{trade_no}\t,{line.trade_reference.replace('-', '_')}\t,{'退款' if is_refund else '交易'}\t,咖啡, 大,"
            f"{at},{at},\t,\t,\t,\t,**博(156******89)\t,{amount},{amount},0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,"
            f"{request_no}\t,{_major(-line.fee_minor)},0.00,"
        )
    frame = f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{day + dt.timedelta(days=1):%Y年%m月%d日} 00:00:00]"
    end = "#-----------------------------------------业务明细列表结束------------------------------------"
    details = [
        "#支付宝业务明细查询", "#账号：[20880000000000010156]", frame, "#---业务明细列表---", _ALIPAY_NAMES, *rows, end,
        f"#交易合计：{counts['payment']}笔，商家实收共{_major(sums['payment'])}元，商家优惠共0.00元",
        f"#退款合计：{counts['refund']}笔，商家实收退款共{_major(sums['refund'])}元，商家优惠退款共0.00元",
        "#导出时间：[2026年11月01日 08:00:00]", "",
    ]  # fmt: skip
    fee = _major(-sum(line.fee_minor for line in lines))
    summary = [
        "#支付宝业务汇总查询", "门店编号,门店名称,交易订单总笔数,退款订单总笔数,服务费（元）",
        f"合计,,{counts['payment']},{counts['refund']},{fee}", "",
    ]  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("业务明细(汇总).csv", "\r\n".join(summary).encode("gbk"))
        archive.writestr("业务明细.csv", "\r\n".join(details).encode("gbk"))
    return file.getvalue()


def _build_csv(lines: Sequence[ReportedLine]) -> bytes:
    rows = ["kind,occurred_at,currency,gross,fee,net,reference,channel_no,payout_no"]
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for line in lines:
        amounts = f"{_major(line.gross_minor)},{_major(line.fee_minor)},{_major(line.net_minor)}"
        rows.append(
            f"{line.kind},{line.at.isoformat()},{line.currency},{amounts},{line.reference},{line.channel_no},"
        )
        total = sums[line.currency]
        total[0], total[1], total[2] = total[0] + 1, total[1] + line.gross_minor, total[2] + line.fee_minor
    for currency, (count, gross, fee) in sums.items():
        rows.append(f"total,,{currency},{_major(gross)},{_major(fee)},{_major(gross - fee)},{count},,")
    return ("\n".join(rows) + "\n").encode()


def _major(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"

"""Bills of a day or a month: alipay.data.dataservice.bill.downloadurl.query (open/06fpmm) and the file of its link.

The file is a zip of two CSV files in GBK, `{seller_id}0156_{date}_业务明细.csv` and `…_业务明细(汇总).csv`, whose names
are in GBK too (developer.aliyun.com/article/707638; recorded files). A day's bill exists from 9:00 of the next day, a
month's from the third of the next month; a link works for 30 seconds. A day without entries has no bill
(`isp.bill_not_exist`). Amounts of refunds are negative; a refund has the creation time of its trade.
"""

import io
import secrets
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from channels.alipay.sandbox import apps, ledger, trade_records
from channels.alipay.sandbox.amounts import write_yuan
from channels.alipay.sandbox.books import Books
from channels.alipay.sandbox.clock import BEIJING, write_time
from channels.alipay.sandbox.ledger import Entry
from channels.alipay.sandbox.refusals import business
from channels.alipay.sandbox.trade_records import BUYER_LOGON_ID

LINK_LIFE = timedelta(seconds=30)
EARLIEST = "2016-01-01"
ENCODING = "gbk"
PATH = "/downloadBillFile.resource"
DETAIL_COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,"
    "商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,"
    "商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
SUMMARY_COLUMNS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)


class _GbkName(zipfile.ZipInfo):
    """An entry whose name is written in GBK without the flag for UTF-8, as in the provider's files."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the name in zipfile
        return self.filename.encode(ENCODING), self.flag_bits


def make_link(books: Books, app: apps.App, *, bill_type: str, bill_date: str, base_url: str) -> str:
    """Raises Refusal: not a date, today, the future (invalid_arguments), or no bill (bill_not_exist)."""
    if bill_type == "signcustomer":
        raise business("TYPE_NOT_SUPPORTED", "沙箱不提供账务账单（signcustomer）")
    if bill_type != "trade":
        raise business("isv.invalid_arguments")
    _, end = _period(bill_date)
    if bill_date < EARLIEST[: len(bill_date)] or end > books.now:
        raise business("isv.invalid_arguments")
    is_day = len(bill_date) == len("2026-11-28")
    ready = end + (timedelta(hours=9) if is_day else timedelta(days=2))
    if books.now < ready or not _money(books, app.seller_id, bill_date):
        raise business("isp.bill_not_exist")
    token = secrets.token_hex(16)
    books.connection.execute(
        "INSERT INTO bill_links VALUES (?, ?, ?, ?)",
        (token, app.seller_id, bill_date, write_time(books.now + LINK_LIFE)),
    )
    account = f"{app.seller_id}0156"
    file_name = f"{account}_{bill_date.replace('-', '')}.csv.zip"
    query = {
        "bizType": "trade",
        "userId": account,
        "fileType": "csv.zip",
        "bizDates": bill_date.replace("-", ""),
        "downloadFileName": file_name,
        "fileId": f"/trade/{account}/{bill_date.replace('-', '')}.csv.zip",
        "timestamp": str(int(books.now.timestamp() * 1000)),
        "token": token,
    }
    return f"{base_url}{PATH}?{urlencode(query)}"


def download(books: Books, token: str) -> tuple[str, bytes] | None:
    """Returns the name and the bytes of the zip; None when the link is unknown or older than 30 seconds."""
    row = books.connection.execute(
        "SELECT * FROM bill_links WHERE token = ? AND valid_until >= ?", (token, books.time)
    ).fetchone()
    if row is None:
        return None
    seller_id, bill_date = row["seller_id"], row["bill_date"]
    stem = f"{seller_id}0156_{bill_date.replace('-', '')}"
    entries = _money(books, seller_id, bill_date)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in (
            (f"{stem}_业务明细.csv", _detail(books, seller_id, bill_date, entries)),
            (f"{stem}_业务明细(汇总).csv", _summary(books, seller_id, bill_date, entries)),
        ):
            content = "".join(f"{line}\r\n" for line in lines).encode(ENCODING, "replace")
            archive.writestr(_GbkName(name, books.now.timetuple()[:6]), content)
    return f"{stem}.csv.zip", file.getvalue()


def _period(bill_date: str) -> tuple[datetime, datetime]:
    """Returns the first moment of the day or month, and the first moment after it."""
    for pattern in ("%Y-%m-%d", "%Y-%m"):
        try:
            begin = datetime.strptime(bill_date, pattern).replace(tzinfo=BEIJING)
        except ValueError:
            continue
        if begin.strftime(pattern) != bill_date:
            break
        if pattern == "%Y-%m-%d":
            return begin, begin + timedelta(days=1)
        return begin, (begin + timedelta(days=32)).replace(day=1)
    raise business("isv.invalid_arguments")


def _money(books: Books, seller_id: str, bill_date: str) -> list[Entry]:
    found = ledger.entries(books.connection, seller_id=seller_id, day=bill_date)
    return [entry for entry in found if entry.kind in ("payment", "refund", "fee")]


def _head(title: str, part: str, seller_id: str, bill_date: str) -> list[str]:
    begin, end = _period(bill_date)
    return [
        f"#支付宝业务{title}查询",
        f"#账号：[{seller_id}0156]",
        f"#起始日期：[{begin:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
        f"#-----------------------------------------业务{part}列表----------------------------------------",
    ]


def _detail(books: Books, seller_id: str, bill_date: str, entries: Iterable[Entry]) -> list[str]:
    fees = {entry.trade_no: entry.amount_fen for entry in entries if entry.kind == "fee"}
    lines = [*_head("明细", "明细", seller_id, bill_date), DETAIL_COLUMNS]
    totals = {"payment": [0, 0], "refund": [0, 0]}
    for entry in entries:
        if entry.kind == "fee":
            continue
        totals[entry.kind][0] += 1
        totals[entry.kind][1] += entry.amount_fen
        lines.append(
            _detail_line(books, entry, fees.get(entry.trade_no, 0) if entry.kind == "payment" else 0)
        )
    (paid, paid_fen), (refunded, refunded_fen) = totals["payment"], totals["refund"]
    return [
        *lines,
        "#-----------------------------------------业务明细列表结束------------------------------------",
        f"#交易合计：{paid}笔，商家实收共{write_yuan(paid_fen)}元，商家优惠共0.00元",
        f"#退款合计：{refunded}笔，商家实收退款共{write_yuan(refunded_fen)}元，商家优惠退款共0.00元",
        f"#导出时间：[{books.now:%Y年%m月%d日 %H:%M:%S}]",
    ]


def _detail_line(books: Books, entry: Entry, fee_fen: int) -> str:
    trade = trade_records.get(books.connection, entry.trade_no)
    amount = write_yuan(entry.amount_fen)
    cells: Sequence[str] = (
        f"{trade.trade_no}\t",
        f"{trade.out_trade_no}\t",
        "交易" if entry.kind == "payment" else "退款",
        trade.subject.replace(",", "，").replace("\n", " "),
        trade.created_at,
        entry.booked_at,
        *("\t" for _ in ("store number", "store name", "operator", "terminal")),
        f"*买家({BUYER_LOGON_ID})\t",
        amount,
        amount,
        *("0.00" for _ in ("red packet", "points", "Alipay's discount", "merchant's discount", "voucher")),
        "",
        "0.00\t",
        "0.00",
        f"{entry.out_request_no}\t",
        write_yuan(fee_fen),
        "0.00",
        trade.body.replace(",", "，").replace("\n", " "),
    )
    return ",".join(cells)


def _summary(books: Books, seller_id: str, bill_date: str, entries: Sequence[Entry]) -> list[str]:
    payments = [entry.amount_fen for entry in entries if entry.kind == "payment"]
    refunded = [entry.amount_fen for entry in entries if entry.kind == "refund"]
    fees = sum(entry.amount_fen for entry in entries if entry.kind == "fee")
    received = sum(payments) + sum(refunded)
    numbers = (
        str(len(payments)),
        str(len(refunded)),
        write_yuan(received),
        write_yuan(received),
        *("0.00" for _ in ("Alipay's discount", "merchant's discount", "card")),
        write_yuan(fees),
        "0.00",
        write_yuan(received + fees),
    )
    return [
        *_head("汇总", "汇总", seller_id, bill_date),
        SUMMARY_COLUMNS,
        ",".join(("\t", "其他\t", *numbers)),
        ",".join(("合计", "", *numbers)),
        "#----------------------------------------业务汇总列表结束-------------------------------------",
        f"#导出时间：[{books.now:%Y年%m月%d日 %H:%M:%S}]",
    ]

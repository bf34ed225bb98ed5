"""Statements as Alipay writes them: a zip with GBK files, tabs after long numbers, a table framed by comments."""

import datetime as dt
import io
import zipfile

import pytest

from channels.alipay.fields import BEIJING
from channels.alipay.statements import StatementRow, list_days, read_statement
from channels.base import UnexpectedFormat

# The columns and the frame of a statement that was downloaded in June 2026.
HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,"
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
PAYMENT = (
    "2026060522001400000000000001\t,PAY_20260605_000001\t,交易\t,咖啡,2026-06-05 16:01:34,2026-06-05 16:01:38,"
    "\t,\t,\t,\t,**博(156******89)\t,100.00,99.40,0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,\t,-0.60,0.00,两杯"
)
REFUND = (
    "2026060522001400000000000001\t,PAY_20260605_000001\t,退款\t,咖啡,2026-06-05 17:00:00,2026-06-05 17:00:05,"
    "\t,\t,\t,\t,**博(156******89)\t,-12.34,-12.34,0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,REF_20260605_000009\t,"
    "0.00,0.00,"
)
TITLE = "#支付宝业务明细查询"
END = "#-----------------------------------------业务明细列表结束------------------------------------"


def build_statement(*rows: str, trades: int = 1, refunds: int = 1, end: str = END) -> str:
    return "\r\n".join(
        [
            TITLE,
            "#账号：[20880000000000010156]",
            "#起始日期：[2026年06月05日 00:00:00]   终止日期：[2026年06月06日 00:00:00]",
            "#-----------------------------------------业务明细列表----------------------------------------",
            HEADER,
            *rows,
            end,
            f"#交易合计：{trades}笔，商家实收共99.40元，商家优惠共0.00元",
            f"#退款合计：{refunds}笔，商家实收退款共-12.34元，商家优惠退款共0.00元",
            "#导出时间：[2026年06月06日 08:00:00]",
            "",
        ]
    )


def zip_files(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read(text: str) -> list[StatementRow]:
    summary = "#支付宝业务汇总查询\r\n门店编号,交易订单总笔数\r\n".encode("gbk")
    files = {
        "20880000000000010156_20260605_业务明细(汇总).csv": summary,
        "20880000000000010156_20260605_业务明细.csv": text.encode("gbk"),
    }
    return list(read_statement(zip_files(files)))


def test_payments_and_refunds_are_read() -> None:
    trade_no, reference = "2026060522001400000000000001", "PAY_20260605_000001"
    paid_at = dt.datetime(2026, 6, 5, 16, 1, 38, tzinfo=BEIJING)
    refunded_at = dt.datetime(2026, 6, 5, 17, 0, 5, tzinfo=BEIJING)
    assert read(build_statement(PAYMENT, REFUND)) == [
        StatementRow("交易", trade_no, reference, "", 10_000, paid_at),
        StatementRow("退款", trade_no, reference, "REF_20260605_000009", 1_234, refunded_at),
    ]


def test_a_day_without_rows() -> None:
    assert read(build_statement(trades=0, refunds=0)) == []


def test_columns_are_found_by_their_titles() -> None:
    titles = HEADER.split(",")
    moved = ",".join([*titles[1:], titles[0]])
    cells = PAYMENT.split(",")
    text = build_statement(",".join([*cells[1:], cells[0]]), refunds=0).replace(HEADER, moved)
    assert read(text) == read(build_statement(PAYMENT, refunds=0))


def test_a_comma_in_the_name_or_the_remark_changes_no_amount() -> None:
    plain = read(build_statement(PAYMENT, refunds=0))
    assert read(build_statement(PAYMENT.replace("咖啡", "咖啡, 拿铁, 大"), refunds=0)) == plain
    assert read(build_statement(PAYMENT.replace("两杯", "两杯, 少糖"), refunds=0)) == plain


def test_a_row_of_another_kind_is_left_out() -> None:
    assert read(build_statement(PAYMENT.replace("交易", "其他"), trades=0, refunds=0)) == []


@pytest.mark.parametrize(
    "text",
    [
        build_statement(PAYMENT),  # one refund was announced
        build_statement(PAYMENT, refunds=0, end=""),
        build_statement(PAYMENT, REFUND).partition(END)[0],  # cut off
        build_statement(PAYMENT, refunds=0).replace("100.00", "1OO.00"),
        build_statement(PAYMENT, refunds=0).replace("16:01:38", "26:01:38"),
        build_statement(PAYMENT, refunds=0).replace("订单金额（元）", "金额"),
        build_statement(PAYMENT.rpartition(",")[0], refunds=0),
    ],
)
def test_an_incomplete_or_invalid_statement_is_refused(text: str) -> None:
    with pytest.raises(UnexpectedFormat):
        read(text)


@pytest.mark.parametrize(
    "zipped",
    [b"", b"PK", b"<html>", zip_files({}), zip_files({"a.csv": b"\xff\xff"}), zip_files({"a.csv": b"text"})],
)
def test_a_file_that_is_no_zip_with_details_is_refused(zipped: bytes) -> None:
    with pytest.raises(UnexpectedFormat):
        list(read_statement(zipped))


def test_a_damaged_zip_is_refused() -> None:
    whole = zip_files({"a.csv": build_statement(PAYMENT, REFUND).encode("gbk")})
    for position in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        try:
            rows = list(read_statement(bytes(changed)))
        except UnexpectedFormat:
            continue
        assert rows == read(build_statement(PAYMENT, REFUND))


def test_days_are_those_of_beijing() -> None:
    def utc(day: int, hour: int) -> dt.datetime:
        return dt.datetime(2026, 6, day, hour, tzinfo=dt.UTC)

    assert list_days(utc(5, 15), utc(5, 16)) == [dt.date(2026, 6, 5)]  # until midnight in Beijing
    assert list_days(utc(5, 15), utc(5, 17)) == [dt.date(2026, 6, 5), dt.date(2026, 6, 6)]
    assert list_days(utc(5, 16), utc(7, 16)) == [dt.date(2026, 6, 6), dt.date(2026, 6, 7)]

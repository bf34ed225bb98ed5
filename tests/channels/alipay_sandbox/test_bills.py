"""The bill of a day, in the provider's format, read as a merchant reads it."""

import io
import zipfile
from typing import Any

import pytest

from channels.alipay.sandbox.bills import DETAIL_COLUMNS, SUMMARY_COLUMNS
from tests.channels.alipay_sandbox.shop import Shop

BILL = "alipay.data.dataservice.bill.downloadurl.query"


def today(shop: Shop) -> str:
    return shop.sandbox.bank.clock.now().strftime("%Y-%m-%d")


def at_midnight(shop: Shop) -> None:
    now = shop.sandbox.bank.clock.now()
    shop.wait(hours=24 - now.hour, minutes=-now.minute, seconds=-now.second)


def query_bill(shop: Shop, date: str, bill_type: str = "trade") -> dict[str, Any]:
    return shop.call(BILL, {"bill_type": bill_type, "bill_date": date})


def files(content: bytes) -> dict[str, list[str]]:
    """Returns the names and lines of the files. Python reads names without the UTF-8 flag as cp437."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {
            entry.filename.encode("cp437").decode("gbk"): archive.read(entry).decode("gbk").split("\r\n")
            for entry in archive.infolist()
        }


def test_detail_and_summary(shop: Shop) -> None:
    at_midnight(shop)
    date, number = today(shop), shop.paid("88.88", body="两杯, 热")
    trade = shop.query(number)
    shop.wait(hours=23, minutes=59, seconds=59)
    shop.refund(number, "8.80", "R1")
    refunded_at = shop.query_refund(number, "R1", query_options=["gmt_refund_pay"])["gmt_refund_pay"]
    shop.wait(seconds=1)
    shop.refund(number, "1.00", "R2")  # belongs to the next day in Beijing
    shop.wait(hours=9)

    response = shop.http.get(query_bill(shop, date)["bill_download_url"], timeout=60)
    compact = date.replace("-", "")
    stem = f"{shop.seller_id}0156_{compact}"
    assert response.headers["Content-Disposition"] == f"attachment; filename={stem}.csv.zip"
    found = files(response.content)
    assert list(found) == [f"{stem}_业务明细.csv", f"{stem}_业务明细(汇总).csv"]

    detail = found[f"{stem}_业务明细.csv"]
    assert detail[0] == "#支付宝业务明细查询"
    assert detail[1] == f"#账号：[{shop.seller_id}0156]"
    assert detail[2].startswith(f"#起始日期：[{date[:4]}年{date[5:7]}月{date[8:]}日 00:00:00]   终止日期：[")
    assert detail[4] == DETAIL_COLUMNS
    paid, refunded = (
        dict(zip(DETAIL_COLUMNS.split(","), line.split(","), strict=True)) for line in detail[5:7]
    )
    assert paid["支付宝交易号"] == f"{trade['trade_no']}\t"
    assert paid["商户订单号"] == f"{number}\t"
    assert (paid["业务类型"], refunded["业务类型"]) == ("交易", "退款")
    assert (paid["订单金额（元）"], refunded["订单金额（元）"]) == ("88.88", "-8.80")
    assert (paid["完成时间"], refunded["完成时间"]) == (trade["send_pay_date"], refunded_at)
    assert paid["创建时间"] == refunded["创建时间"]
    assert (paid["退款批次号/请求号"], refunded["退款批次号/请求号"]) == ("\t", "R1\t")
    assert paid["备注"] == "两杯， 热"
    assert detail[8:10] == [
        "#交易合计：1笔，商家实收共88.88元，商家优惠共0.00元",
        "#退款合计：1笔，商家实收退款共-8.80元，商家优惠退款共0.00元",
    ]

    summary = found[f"{stem}_业务明细(汇总).csv"]
    assert summary[0] == "#支付宝业务汇总查询"
    assert summary[4] == SUMMARY_COLUMNS
    total = dict(zip(SUMMARY_COLUMNS.split(","), summary[6].split(","), strict=True))
    assert summary[6].startswith("合计,")
    assert (total["交易订单总笔数"], total["退款订单总笔数"], total["实收净额（元）"]) == ("1", "1", "80.08")


def test_fees(shop: Shop, keys: Any) -> None:
    app_id = f"6{shop.app_id[1:]}"
    fields = {
        "app_public_key": keys.app_public,
        "alipay_private_key": keys.alipay_private,
        "fee_basis_points": 60,
    }
    shop.control("POST", "apps", app_id=app_id, seller_id=f"3{shop.seller_id[1:]}", **fields)
    shop.app_id, shop.seller_id = app_id, f"3{shop.seller_id[1:]}"
    date = today(shop)
    shop.paid("88.88")
    shop.wait(hours=34)
    content = shop.http.get(query_bill(shop, date)["bill_download_url"], timeout=60).content
    detail, summary = files(content).values()
    assert dict(zip(DETAIL_COLUMNS.split(","), detail[5].split(","), strict=True))["服务费（元）"] == "-0.53"
    assert summary[6].endswith("-0.53,0.00,88.35")


def test_when_a_bill_exists(shop: Shop) -> None:
    at_midnight(shop)
    date = today(shop)
    shop.paid()
    assert query_bill(shop, date)["sub_code"] == "isv.invalid_arguments"  # today's
    at_midnight(shop)
    assert query_bill(shop, date)["sub_code"] == "isp.bill_not_exist"  # made until 9:00
    shop.wait(hours=9)
    assert query_bill(shop, date)["code"] == "10000"
    assert query_bill(shop, today(shop))["sub_code"] == "isv.invalid_arguments"


def test_a_day_without_trades_has_no_bill(shop: Shop) -> None:
    assert query_bill(shop, "2026-11-01")["sub_code"] == "isp.bill_not_exist"


@pytest.mark.parametrize(
    "date", ["", "28.11.2026", "2026-13-01", "2026-1-1", "2015-12-31", "2099-01-01", "2099-01"]
)
def test_dates(shop: Shop, date: str) -> None:
    assert query_bill(shop, date)["sub_code"] == "isv.invalid_arguments"


def test_types(shop: Shop) -> None:
    assert query_bill(shop, "2026-11-01", "everything")["sub_code"] == "isv.invalid_arguments"
    assert query_bill(shop, "2026-11-01", "signcustomer")["sub_code"] == "TYPE_NOT_SUPPORTED"


def test_a_month(shop: Shop) -> None:
    month = today(shop)[:7]
    number = shop.paid("7.00")
    assert query_bill(shop, month)["sub_code"] == "isv.invalid_arguments"
    shop.wait(days=35)
    detail, _ = files(
        shop.http.get(query_bill(shop, month)["bill_download_url"], timeout=60).content
    ).values()
    assert number in detail[5]


def test_a_link_works_for_30_seconds(shop: Shop) -> None:
    date = today(shop)
    shop.paid()
    shop.wait(hours=34)
    link = query_bill(shop, date)["bill_download_url"]
    shop.wait(seconds=30)
    assert shop.http.get(link, timeout=60).content.startswith(b"PK")
    shop.wait(seconds=1)
    assert shop.http.get(link, timeout=60).content.decode("gbk") == "下载超时,请重新下载"
    assert not shop.http.get(link[:-1], timeout=60).content.startswith(b"PK")

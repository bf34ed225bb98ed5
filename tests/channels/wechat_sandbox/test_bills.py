"""Bills: the time at which they are ready, and the provider's exact format."""

import datetime as dt
import gzip
import hashlib

import pytest

from channels.wechat.sandbox import operations
from channels.wechat.sandbox.clock import BEIJING, to_beijing
from channels.wechat.sandbox.faults import FaultKind
from tests.channels.wechat_sandbox.conftest import Scene, parsed
from tests.support.wechat_sandbox import SECOND_MCHID

TRADE_TITLE = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)


def go_to(scene: Scene, hour: int, minute: int = 0, days: int = 0) -> dt.date:
    """Moves the clock to the next time of this hour in Beijing, and `days` further. Returns the date there."""
    now = to_beijing(scene.bank.clock.now())
    target = now.replace(hour=hour, minute=minute, second=0, microsecond=0) + dt.timedelta(days=days)
    if target <= now:
        target += dt.timedelta(days=1)
    scene.run(seconds=target.timestamp() - scene.bank.clock.now())
    return target.date()


def download(scene: Scene, day: dt.date, **options: str) -> str:
    status, bill = parsed(scene.sdk.trade_bill(bill_date=day.isoformat(), **({"tar_type": ""} | options)))
    assert status == 200, bill
    return fetch(scene, bill)


def fetch(scene: Scene, bill: dict[str, str]) -> str:
    status, content = scene.sdk.download_bill(bill["download_url"])
    assert status == 200
    assert hashlib.sha1(content).hexdigest() == bill["hash_value"]
    return content.decode()


def errors(scene: Scene, day: dt.date) -> tuple[int, str]:
    status, answer = parsed(scene.sdk.trade_bill(bill_date=day.isoformat()))
    return status, answer.get("code", "")


def test_a_bill_is_ready_on_the_next_day_at_ten_in_beijing(scene: Scene) -> None:
    day = go_to(scene, 12)
    scene.paid()
    assert errors(scene, day) == (400, "NO_STATEMENT_EXIST")
    go_to(scene, 9, 59)
    assert errors(scene, day) == (400, "STATEMENT_CREATING")
    go_to(scene, 10)
    assert errors(scene, day) == (200, "")
    assert errors(scene, day - dt.timedelta(days=1)) == (400, "NO_STATEMENT_EXIST")  # no order was paid then
    go_to(scene, 12, days=100)
    assert errors(scene, day) == (400, "INVALID_REQUEST")


def test_days_are_those_of_beijing(scene: Scene) -> None:
    day = go_to(scene, 23, 59)
    scene.paid("order-today")
    scene.run(seconds=120)
    scene.paid("order-tomorrow")
    go_to(scene, 12, days=2)
    assert "`order-today," in download(scene, day)
    assert "order-tomorrow" not in download(scene, day)
    assert "`order-tomorrow," in download(scene, day + dt.timedelta(days=1))


def test_the_trade_bill_to_the_letter(scene: Scene) -> None:
    day = go_to(scene, 12)
    transaction_id = scene.paid(total=1001)
    scene.refund(amount=100, total=1001)
    refund_id = parsed(scene.sdk.query_refund(out_refund_no="refund-1"))[1]["refund_id"]
    openid = scene.query()[1]["payer"]["openid"]
    go_to(scene, 12, days=1)
    bill = download(scene, day)
    assert bill.startswith("\ufeff")
    title, payment, refund, totals_title, totals, end = bill.removeprefix("\ufeff").split("\r\n")
    assert title == TRADE_TITLE
    appid = scene.merchant.appid
    assert payment == (
        f"`{day} 12:00:00,`{appid},`1900000109,`0,`,`{transaction_id},`order-0001,`{openid},`NATIVE,`SUCCESS,`OTHERS,"
        "`CNY,`10.01,`0.00,`0,`0,`0.00,`0.00,`,`,`茶,`,`0.06000,`0.60%,`10.01,`0.00,`"
    )
    assert refund == (
        f"`{day} 12:00:00,`{appid},`1900000109,`0,`,`{transaction_id},`order-0001,`{openid},`NATIVE,`REFUND,`OTHERS,"
        f"`CNY,`0.00,`0.00,`{refund_id},`refund-1,`1.00,`0.00,`ORIGINAL,`SUCCESS,`茶,`,`0.00000,`0.60%,`0.00,`1.00,`"
    )
    assert (
        totals_title
        == "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
    )
    assert (totals, end) == ("`2,`10.01,`1.00,`0.00,`0.06000,`10.01,`1.00", "")


def test_a_description_with_commas_and_line_ends_stays_in_its_column(scene: Scene) -> None:
    day = go_to(scene, 12)
    scene.prepay(description="茶, 绿\n茶", attach="a,b")
    operations.pay(scene.bank, scene.merchant.mchid, "order-0001")
    go_to(scene, 12, days=1)
    line = download(scene, day).split("\r\n")[1]
    values = line.removeprefix("`").split(",`")
    assert len(values) == len(TRADE_TITLE.split(","))
    assert values[20:22] == ["茶, 绿 茶", "a,b"]


def test_bills_of_payments_and_of_refunds_alone(scene: Scene) -> None:
    day = go_to(scene, 12)
    scene.paid()
    scene.refund()
    go_to(scene, 12, days=1)
    success = download(scene, day, bill_type="SUCCESS").split("\r\n")
    assert (len(success), success[3]) == (5, "`1,`10.00,`0.06000,`10.00")
    refund = download(scene, day, bill_type="REFUND").split("\r\n")
    assert (len(refund), refund[3]) == (5, "`1,`0.00,`1.00,`0.00,`0.00000,`0.00,`1.00")
    assert refund[0].split(",")[14:16] == ["退款申请时间", "退款成功时间"]
    assert len(refund[1].split(",`")) == len(refund[0].split(","))
    assert len(success[1].split(",`")) == len(success[0].split(","))


def test_a_bill_never_changes(scene: Scene) -> None:
    """WeChat Pay's documentation says: 出账后退款状态不会更新."""
    day = go_to(scene, 12)
    scene.paid()
    scene.plan(FaultKind.REFUND_LATE, seconds=5 * 86400)
    scene.refund()
    go_to(scene, 12, days=1)
    bill = download(scene, day)
    assert ",`ORIGINAL,`PROCESSING," in bill
    go_to(scene, 12, days=6)
    assert download(scene, day) == bill


def test_a_download_address_lives_five_minutes_and_belongs_to_its_merchant(scene: Scene) -> None:
    day = go_to(scene, 12)
    scene.paid()
    go_to(scene, 12, days=1)
    bill = parsed(scene.sdk.trade_bill(bill_date=day.isoformat(), tar_type="GZIP"))[1]
    assert bill["download_url"].endswith("&tartype=gzip")
    content = scene.sdk.download_bill(bill["download_url"])[1]
    assert hashlib.sha1(gzip.decompress(content)).hexdigest() == bill["hash_value"]
    other = scene.sandbox.sdk(SECOND_MCHID)
    assert other.download_bill(bill["download_url"])[0] == 400
    scene.run(seconds=301)
    assert scene.sdk.download_bill(bill["download_url"])[0] == 400


@pytest.mark.parametrize(
    "options",
    [
        {"bill_date": "20260101"},
        {"bill_date": "2026-02-30"},
        {"bill_date": "2026-01-01", "bill_type": "NONE"},
        {"bill_date": "2026-01-01", "tar_type": "ZIP"},
    ],
)
def test_wrong_parameters(scene: Scene, options: dict[str, str]) -> None:
    status, answer = parsed(scene.sdk.trade_bill(**options))
    assert (status, answer["code"], answer["detail"]["location"]) == (400, "PARAM_ERROR", "query")


def test_the_fund_flow_bill_to_the_letter(scene: Scene) -> None:
    day = go_to(scene, 12)
    transaction_id = scene.paid()
    scene.refund(amount=500)
    refund_id = parsed(scene.sdk.query_refund(out_refund_no="refund-1"))[1]["refund_id"]
    go_to(scene, 12, days=1)
    bill = parsed(scene.sdk.fundflow_bill(bill_date=day.isoformat(), tar_type=""))[1]
    title, payment, fee, refund, totals_title, totals, end = (
        fetch(scene, bill).removeprefix("\ufeff").split("\r\n")
    )
    assert title == (
        "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
        "资金变更提交申请人,备注,业务凭证号"
    )
    flow = [line.split(",`")[2] for line in (payment, fee, refund)]
    at = f"`{day} 12:00:00,`"
    assert (
        payment
        == f"{at}{transaction_id},`{flow[0]},`交易,`交易,`收入,`10.00,`10.00,`system,`,`{transaction_id}"
    )
    assert fee == (
        f"{at}{transaction_id},`{flow[1]},`交易,`扣除交易手续费,`支出,`0.06,`9.94,`system,`,`{transaction_id}"
    )
    assert refund == (
        f"{at}{refund_id},`{flow[2]},`退款,`退款,`支出,`4.97,`4.97,`system,`退款总金额5.00元;含手续费0.03元,"
        f"`REF{transaction_id}"
    )
    assert totals_title == "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
    assert (totals, end) == ("`3.0,`1.0,`10.00,`2.0,`5.03", "")


def test_the_balance_goes_on_from_the_day_before(scene: Scene) -> None:
    go_to(scene, 12)
    scene.paid()
    day = go_to(scene, 12)
    scene.paid("order-0002")
    go_to(scene, 12, days=1)
    bill = parsed(scene.sdk.fundflow_bill(bill_date=day.isoformat(), tar_type=""))[1]
    balances = [line.split(",`")[7] for line in fetch(scene, bill).split("\r\n")[1:3]]
    assert balances == ["19.94", "19.88"]
    assert to_beijing(scene.bank.clock.now()).tzinfo is BEIJING

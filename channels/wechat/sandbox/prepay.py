"""The parameters of Native, JSAPI and H5 prepay.

docs/merchant/products/native-payment/apilist.html, docs/merchant/products/h5-payment/apilist.html,
doc/v3/merchant/4012525167 (JSAPI).
"""

import datetime as dt
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels.wechat.sandbox.parameters import NOTIFY_URL, OUT_TRADE_NO, Parameters

MINUTE, DAY = 60, 86400


class TradeType(enum.StrEnum):
    """The names that queries and bills use."""

    NATIVE = "NATIVE"
    JSAPI = "JSAPI"
    H5 = "MWEB"


@dataclass(frozen=True, slots=True)
class PrepayRequest:
    """`parameters` is the whole body in a normal form, to compare a repetition with."""

    trade_type: TradeType
    appid: str
    mchid: str
    description: str
    out_trade_no: str
    time_expire: float | None
    attach: str
    notify_url: str
    total: int
    openid: str
    parameters: str

    def get_time_expire(self, now: float) -> float:
        """Until when the customer can pay: at least a minute, at most 90 days, and 7 days when it is not given.

        doc/v3/merchant/4012525171, time_expire.
        """
        if self.time_expire is None:
            return now + 7 * DAY
        return min(max(self.time_expire, now + MINUTE), now + 90 * DAY)


def parse_prepay(trade_type: TradeType, body: Mapping[str, Any]) -> PrepayRequest:
    """Raises `SandboxApiError`."""
    given = Parameters("body", body)
    appid = given.read_text("appid", "公众账号ID", max_length=32)
    mchid = given.read_text("mchid", "直连商户号", max_length=32)
    description = given.read_text("description", "商品描述", max_length=127)
    out_trade_no = given.read_text("out_trade_no", "商户订单号", max_length=32, pattern=OUT_TRADE_NO)
    time_expire = _parse_time_expire(given)
    attach = given.read_text("attach", "附加数据", max_length=128, is_required=False)
    notify_url = given.read_text("notify_url", "通知地址", max_length=255, pattern=NOTIFY_URL)
    given.read_text("goods_tag", "订单优惠标记", max_length=32, is_required=False)
    amount = given.read_section("amount", "订单金额")
    total = amount.read_fen("total", "总金额")
    amount.read_currency(is_required=False)
    openid = ""
    if trade_type is TradeType.JSAPI:
        openid = given.read_section("payer", "支付者").read_text("openid", "用户标识", max_length=128)
    if trade_type is TradeType.H5:
        scene = given.read_section("scene_info", "场景信息")
        scene.read_text("payer_client_ip", "用户终端IP", max_length=45)
        scene.read_section("h5_info", "H5场景信息").read_text("type", "场景类型", max_length=32)
    return PrepayRequest(
        trade_type=trade_type,
        appid=appid,
        mchid=mchid,
        description=description,
        out_trade_no=out_trade_no,
        time_expire=time_expire,
        attach=attach,
        notify_url=notify_url,
        total=total,
        openid=openid,
        parameters=json.dumps(body, ensure_ascii=False, sort_keys=True),
    )


def _parse_time_expire(given: Parameters) -> float | None:
    """RFC 3339 with its time zone."""
    text = given.read_text("time_expire", "交易结束时间", max_length=64, is_required=False)
    if not text:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise given.refuse("time_expire", "交易结束时间", "格式不正确，应遵循rfc3339") from error
    if at.tzinfo is None or "T" not in text:
        raise given.refuse("time_expire", "交易结束时间", "格式不正确，应遵循rfc3339")
    return at.timestamp()

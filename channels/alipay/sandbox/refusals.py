"""How the gateway refuses a call: `code` and `msg` of the gateway, `sub_code` and `sub_msg` of the cause.

Codes of the gateway: common/02km9f. Codes of trades (ACQ.…): the error tables on the pages of the APIs: page pay
(open/028r8t), query (open/02ekfq), close (open/02e7gn), cancel (open/02ekfr), refund (open/6c0cdd7d), refund query
(open/02e7gp), and precreate (docs.open.alipay.com/api_1/alipay.trade.precreate). Codes of bills: what the gateway
answers in production, which differs from the documentation's BILL_NOT_EXIST and INVAILID_ARGUMENTS (README of
solarhell/alipay-go).
"""

from collections.abc import Mapping

MESSAGES = {
    "10000": "Success",
    "20000": "Service Currently Unavailable",
    "20001": "Insufficient Token Permissions",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40003": "Insufficient Conditions",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}

SUB_MESSAGES = {
    "isp.unknow-error": "服务暂不可用（业务系统不可用）",
    "aop.unknow-error": "服务暂不可用（网关自身的未知错误）",
    "aop.invalid-app-auth-token": "无效的应用授权令牌",
    "isv.missing-method": "缺少方法名参数",
    "isv.missing-signature": "缺少签名参数",
    "isv.missing-signature-type": "缺少签名类型参数",
    "isv.missing-app-id": "缺少appId参数",
    "isv.missing-timestamp": "缺少时间戳参数",
    "isv.missing-version": "缺少版本参数",
    "isv.invalid-parameter": "参数无效",
    "isv.invalid-method": "不存在的方法名",
    "isv.invalid-format": "无效的数据格式",
    "isv.invalid-signature-type": "无效的签名类型",
    "isv.invalid-signature": "无效签名",
    "isv.invalid-app-id": "无效的AppID参数",
    "isv.invalid-timestamp": "非法的时间戳参数",
    "isv.invalid-charset": "字符集错误",
    "isv.insufficient-isv-permissions": "ISV权限不足，建议在开发者中心检查签约是否已经生效",
    "isv.app-call-limited": "应用调用次数超限",
    "isv.invalid_arguments": "入参不合法",
    "isp.bill_not_exist": "账单不存在",
    "TYPE_NOT_SUPPORTED": "账单类型不支持",
    "ACQ.SYSTEM_ERROR": "系统错误",
    "ACQ.INVALID_PARAMETER": "参数无效",
    "ACQ.ACCESS_FORBIDDEN": "无权限使用接口",
    "ACQ.INVALID_RECEIVE_ACCOUNT": "收款账户不支持",
    "ACQ.TRADE_NOT_EXIST": "交易不存在",
    "ACQ.TRADE_HAS_SUCCESS": "交易已被支付",
    "ACQ.TRADE_HAS_CLOSE": "交易已经关闭",
    "ACQ.TRADE_HAS_FINISHED": "交易已经完结",
    "ACQ.TRADE_STATUS_ERROR": "交易状态不合法",
    "ACQ.CONTEXT_INCONSISTENT": "交易信息被篡改",
    "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR": "当前时间已超过允许支付的时间",
    "ACQ.CANCEL_NOT_ALLOWED": "交易不允许撤销",
    "ACQ.TRADE_CANCEL_TIME_OUT": "超过撤销时间范围",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "卖家余额不足",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": "撤销或退款金额与订单金额不一致",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": "退款金额无效",
    "ACQ.DISCORDANT_REPEAT_REQUEST": "不一致的请求",
    "ACQ.TRADE_NOT_ALLOW_REFUND": "当前交易不允许退款",
}


class Refusal(Exception):
    """`details`: fields that stand beside the codes in the answer."""

    def __init__(
        self, code: str, sub_code: str, sub_msg: str = "", details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code} {sub_code}")
        self.code = code
        self.sub_code = sub_code
        self.sub_msg = sub_msg or SUB_MESSAGES.get(sub_code, sub_code)
        self.details = dict(details or {})

    def as_answer(self) -> dict[str, object]:
        return {
            "code": self.code,
            "msg": MESSAGES.get(self.code, self.code),
            "sub_code": self.sub_code,
            "sub_msg": self.sub_msg,
            **self.details,
        }


def missing(name: str) -> Refusal:
    return Refusal("40001", f"isv.missing-{name}")


def invalid(name: str, text: str = "") -> Refusal:
    return Refusal("40002", f"isv.invalid-{name}", text)


def business(sub_code: str, text: str = "", **details: str) -> Refusal:
    return Refusal("40004", sub_code, text, details)


def invalid_field(name: str, reason: str) -> Refusal:
    """A field of biz_content breaks its description on the API's page."""
    return business("ACQ.INVALID_PARAMETER", f"参数无效：{name}，{reason}")

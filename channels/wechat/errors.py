"""Converts WeChat Pay's errors into results of the port, by code and status, never by their text.

The codes are those of the pages of each operation, under 错误码: Native pay.weixin.qq.com/doc/v3/merchant/4012791877,
query …/4013070356, close …/4012556398, refund …/4012556457. Older pages, such as
pay.weixin.qq.com/wiki/doc/api_external/ch/apis/chapter3_5_7.shtml, write some of them without the underscore.
"""

import structlog

from channels.base import Declined, InvalidRequest, NotFoundAtChannel, NotProcessed, UnknownOutcome
from channels.wechat.client import WechatApiError

log = structlog.get_logger(__name__)

# A refund comes at most once a minute for each payment (…/4012556457, note 9); other limits are per second.
BUSY_SECONDS = 60.0

# 公共错误码 and those about the merchant's setup. The request is wrong, and had no effect.
_INVALID_REQUEST_CODES = frozenset(
    {
        "PARAM_ERROR",
        "INVALID_REQUEST",
        "SIGN_ERROR",
        "NO_AUTH",
        "MCH_NOT_EXISTS",
        "APPID_MCHID_NOT_MATCH",
        "OPENID_MISMATCH",
        "INVALID_TRANSACTIONID",
        "OUT_TRADE_NO_USED",
        "ORDER_CLOSED",
        "ORDER_PAID",
    }
)
# "Call again with the same number": the call may have had an effect, whatever the status. The last one is of APIv2's
# refunds (pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=9_4).
_IN_DOUBT_CODES = frozenset({"SYSTEM_ERROR", "BANK_ERROR", "BIZERR_NEED_RETRY"})
_NOT_FOUND_CODES = frozenset({"ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"})
_BUSY_CODES = frozenset({"FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"})
RULE_LIMIT = "RULE_LIMIT"
# The code of the port, and whether a fallback channel may accept the payment.
_DECLINES = {
    "TRADE_ERROR": ("payment_refused", True),  # 因业务原因交易失败
    RULE_LIMIT: ("channel_limit", True),  # 因业务规则限制
    "ACCOUNT_ERROR": ("customer_account_unusable", False),  # 用户账号异常
    "USER_ACCOUNT_ABNORMAL": ("customer_account_unusable", False),  # 用户账户注销, for refunds
    # For refunds: the merchant's balance. The merchant tops it up and refunds again.
    "NOT_ENOUGH": ("balance_insufficient", False),
}
_OLD_SPELLINGS = {
    "SYSTEMERROR": "SYSTEM_ERROR",
    "ORDERNOTEXIST": "ORDER_NOT_EXIST",
    "ORDERPAID": "ORDER_PAID",
    "ORDERCLOSED": "ORDER_CLOSED",
    "NOAUTH": "NO_AUTH",
    "NOTENOUGH": "NOT_ENOUGH",
    "RULELIMIT": RULE_LIMIT,
    "ACCOUNTERROR": "ACCOUNT_ERROR",
}
# Refusals that may be about an order that exists already: the answer to a repeated creation, or to closing what was
# paid in the meantime. What became of the order is then queried.
_ORDER_CODES = frozenset(
    {"OUT_TRADE_NO_USED", "INVALID_REQUEST", "ORDER_PAID", "ORDER_CLOSED", "TRADE_ERROR"}
)

ErrorResult = Declined | InvalidRequest | NotFoundAtChannel | NotProcessed | UnknownOutcome


def read_code(error: WechatApiError) -> str:
    return _OLD_SPELLINGS.get(error.code, error.code)


def is_about_existing_order(error: WechatApiError) -> bool:
    return read_code(error) in _ORDER_CODES and error.status < 500


def to_result(error: WechatApiError) -> ErrorResult:
    code = read_code(error)
    if error.status == 429 or code in _BUSY_CODES:
        return NotProcessed(f"WeChat Pay limits our requests: {error}", BUSY_SECONDS, is_channel_fault=False)
    # 202: accepted and not yet processed, or USER_PAYING: the customer is entering the password.
    if error.status >= 500 or error.status < 400 or code in _IN_DOUBT_CODES:
        return UnknownOutcome(f"WeChat Pay answers {error}", is_channel_fault=error.status >= 500)
    if code in _NOT_FOUND_CODES:
        return NotFoundAtChannel()
    if code in _DECLINES and not error.is_query:
        port_code, can_fail_over = _DECLINES[code]
        return Declined(port_code, error.message, can_fail_over=can_fail_over)
    if code not in _INVALID_REQUEST_CODES and code not in _DECLINES:
        log.warning("wechat.unknown_error_code", code=error.code, status=error.status)
    log.error(
        "wechat.invalid_request",
        code=error.code,
        param=error.param,
        reason=error.message,
        is_query=error.is_query,
    )
    return InvalidRequest(
        error.code or str(error.status), error.message, error.param, is_query=error.is_query
    )

"""Converts errors of Alipay into results of the port: by `code` and `sub_code`, never by their text.

`code`: opendocs.alipay.com/open/common/105806. `sub_code`: "Business error codes" on the page of each method,
docs.open.alipay.com/api_1/<method>; the comments name the methods.
"""

import structlog

from channels.alipay.answers import GatewayAnswer
from channels.base import (
    CredentialCheck,
    CredentialsRefused,
    CredentialsUnchecked,
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    UnknownOutcome,
)

log = structlog.get_logger(__name__)

ErrorResult = Declined | InvalidRequest | NotProcessed | NotFoundAtChannel | UnknownOutcome

BUSY_SECONDS = 5.0

# `code` of the gateway.
_UNAVAILABLE, _TOO_MANY_CALLS, _BUSINESS_FAILED = "20000", "40005", "40004"
# Authorization of another party, permission of the application.
_REFUSED_CODES = frozenset({"20001", "40003", "40006"})
# `sub_code` of 40001 and 40002 that say that our credentials are wrong, and which one.
_FIELD_OF_SUB_CODE = {
    "isv.app-unbind-partner": "app_id",
    "isv.invalid-app-id": "app_id",
    "isv.missing-app-id": "app_id",
    "isv.invalid-signature": "private_key",
    "isv.invalid-signature-type": "private_key",
    "isv.missing-signature-config": "private_key",
    "isv.missing-signature-key": "private_key",
}

TRADE_NOT_EXIST = "ACQ.TRADE_NOT_EXIST"  # query, close, refund, refund query
# alipay.trade.close: the trade does not wait for its customer.
NOT_WAITING = frozenset(
    {"ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"}
)
# alipay.trade.precreate: the number already belongs to a trade.
TRADE_EXISTS = frozenset(
    {
        "ACQ.TRADE_HAS_SUCCESS",
        "ACQ.TRADE_HAS_CLOSE",
        "ACQ.CONTEXT_INCONSISTENT",
        "ACQ.TRADE_BUYER_NOT_MATCH",
    }
)
# All methods: "try again with the same parameters", or "query". Pages and answers write them with several prefixes:
# ACQ., AQC., aop.ACQ. (sub_code of refunds), isp., aop.
_MAY_HAVE_HAPPENED = frozenset({"SYSTEM_ERROR", "unknow-error"})

# The reason lies with this account at Alipay: a fallback channel may take the payment (alipay.trade.precreate).
_FAILOVER_DECLINES = {
    "ACQ.ACCESS_FORBIDDEN": "payment_method_not_available",
    "ACQ.PARTNER_ERROR": "payment_method_not_available",
    "ACQ.SELLER_BEEN_BLOCKED": "payment_method_not_available",
    "ACQ.ERROR_SELLER_CONSULT_FAIL": "payment_method_not_available",
    "ACQ.BEYOND_PER_RECEIPT_RESTRICTION": "amount_too_large",
    "ACQ.BEYOND_PER_RECEIPT_SINGLE_RESTRICTION": "amount_too_large",
    "ACQ.BEYOND_PER_RECEIPT_DAY_RESTRICTION": "amount_too_large",
    "ACQ.TOTAL_FEE_EXCEED": "amount_too_large",
    "ACQ.CURRENCY_NOT_SUPPORT": "currency_not_supported",
}
_DECLINES = {
    # alipay.trade.precreate
    "ACQ.BUYER_ENABLE_STATUS_FORBID": "account_blocked",
    "ACQ.BUYER_ERROR": "account_blocked",
    "ACQ.BUYER_SELLER_EQUAL": "payment_declined",
    "ACQ.EXIST_FORBIDDEN_WORD": "forbidden_text",
    # alipay.trade.refund
    "ACQ.BUYER_NOT_EXIST": "account_blocked",
    "ACQ.CUSTOMER_VALIDATE_ERROR": "account_blocked",
    "ACQ.NOT_ALLOW_PARTIAL_REFUND": "refund_not_allowed",
    "ACQ.ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND": "refund_not_allowed",
    "ACQ.REASON_TRADE_BEEN_FREEZEN": "refund_not_allowed",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": "nothing_to_refund",
    "ACQ.REASON_TRADE_STATUS_INVALID": "nothing_to_refund",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": "nothing_to_refund",
    "ACQ.REFUND_CHARGE_ERROR": "refund_not_allowed",
    "ACQ.REFUND_FEE_ERROR": "nothing_to_refund",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "balance_insufficient",
    "ACQ.TRADE_HAS_CLOSE": "nothing_to_refund",
    "ACQ.TRADE_HAS_FINISHED": "refund_window_closed",
    "ACQ.TRADE_NOT_ALLOW_REFUND": "refund_not_allowed",
    "ACQ.TRADE_STATUS_ERROR": "nothing_to_refund",
    "ACQ.USER_NOT_MATCH_ERR": "refund_not_allowed",
}
# alipay.trade.refund: the request is wrong.
_INVALID_REFUND_CODES = frozenset({"ACQ.DISCORDANT_REPEAT_REQUEST", "ACQ.INVALID_PARAMETER"})


def to_result(answer: GatewayAnswer, *, is_query: bool = False) -> ErrorResult:
    """Converts an answer that is not a success. `is_query`: the call changes nothing."""
    code, sub_code = answer.code, answer.sub_code
    if code == _UNAVAILABLE or sub_code.rpartition(".")[2] in _MAY_HAVE_HAPPENED:
        return UnknownOutcome(f"Alipay answers {code} {sub_code}")
    if code == _TOO_MANY_CALLS:
        return NotProcessed("Alipay takes no more calls now", BUSY_SECONDS)
    if code in _REFUSED_CODES or sub_code in _FIELD_OF_SUB_CODE:
        log.error("alipay.refuses_our_credentials", code=code, sub_code=sub_code)
        return NotProcessed(f"Alipay refuses our credentials: {sub_code}")
    if sub_code == TRADE_NOT_EXIST:
        return NotFoundAtChannel()
    if code == _BUSINESS_FAILED and not is_query:
        if sub_code in _FAILOVER_DECLINES:
            return Declined(_FAILOVER_DECLINES[sub_code], answer.sub_message, can_fail_over=True)
        if sub_code in _DECLINES:
            return Declined(_DECLINES[sub_code], answer.sub_message)
    log.error(
        "alipay.invalid_request",
        code=code,
        sub_code=sub_code,
        reason=answer.sub_message,
        is_query=is_query,
    )
    return InvalidRequest(sub_code or code, answer.sub_message, is_query=is_query)


def to_refund_result(answer: GatewayAnswer) -> ErrorResult:
    """Converts the refusal of a refund. A business code that Alipay does not document leaves it in doubt.

    Alipay executes one refund of a trade at a time ("加锁", at least three seconds apart), documents no code for the
    others, and may show a refund to queries only ten seconds later. So such a code may be the answer to the repetition
    of a call that is still being executed (opendocs.alipay.com/open/6c0cdd7d_alipay.trade.refund).
    """
    result = to_result(answer)
    is_unknown = answer.code == _BUSINESS_FAILED and answer.sub_code not in _INVALID_REFUND_CODES
    if isinstance(result, InvalidRequest) and is_unknown:
        return UnknownOutcome(f"Alipay answers {answer.code} {answer.sub_code}", is_channel_fault=False)
    return result


def describe_refused_check(answer: GatewayAnswer) -> CredentialCheck:
    """Converts an error in answer to the check of an account's credentials."""
    if answer.sub_code in _FIELD_OF_SUB_CODE or answer.code in _REFUSED_CODES:
        message = f"Alipay refuses the credentials: {answer.sub_code} {answer.sub_message}"
        return CredentialsRefused(message, _FIELD_OF_SUB_CODE.get(answer.sub_code, ""))
    return CredentialsUnchecked(f"Alipay answers {answer.code} {answer.sub_code}")


def describe_unverified_check(answer: GatewayAnswer) -> CredentialCheck:
    """What an answer means that the account's Alipay public key does not verify. Alipay signs no error about an
    application or signature that it does not know."""
    refused = describe_refused_check(answer)
    if isinstance(refused, CredentialsRefused):
        return refused
    return CredentialsRefused(
        "This key does not verify Alipay's answer. Copy the Alipay public key, not the application's.",
        "alipay_public_key",
    )

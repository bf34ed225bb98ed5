"""Creates and finds refunds. All functions raise the exceptions of `WechatClient.get`.

One out_refund_no refunds once; an accepted refund is not yet a successful one
(pay.weixin.qq.com/doc/v3/merchant/4012556457).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from channels.base import (
    ChannelRefund,
    CreateRefund,
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    PaymentState,
    RefundRef,
    RefundResult,
    RefundState,
    Reported,
    UnexpectedFormat,
    UnknownOutcome,
)
from channels.wechat import errors, payments
from channels.wechat.client import WechatApiError, WechatClient
from channels.wechat.fields import CURRENCY, read_fen, read_object, read_text, shorten_bytes

PATH = "/v3/refund/domestic/refunds"
MAX_REASON_BYTES = 80
RETRY_SECONDS = 60.0
_OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")

ABNORMAL = "refund_abnormal"
# pay.weixin.qq.com/doc/v3/merchant/4013071031, 2.3. CLOSED: the merchant's balance did not suffice for seven days; the
# money stays with the merchant. ABNORMAL: the customer's card is dead. The money has left the merchant and waits at
# WeChat Pay until somebody sends it to another card, or back. It may still reach the customer, so the refund stays
# pending with a failure code: as failed, it could be made a second time.
_REFUND_STATES = {
    "PROCESSING": RefundState.PENDING,
    "SUCCESS": RefundState.SUCCEEDED,
    "CLOSED": RefundState.FAILED,
    "ABNORMAL": RefundState.PENDING,
}
_FAILURES = {
    "CLOSED": (
        "refund_closed",
        "WeChat Pay closed the refund: the merchant's balance was too low for seven days.",
    ),
    "ABNORMAL": (
        ABNORMAL,
        "The customer's card or account cannot take the refund. Send it to another card in WeChat Pay's merchant"
        " platform (交易中心).",
    ),
}


def create_refund(client: WechatClient, request: CreateRefund) -> RefundResult:
    if not _OUT_REFUND_NO.fullmatch(request.reference):
        return InvalidRequest(
            "PARAM_ERROR", "out_refund_no: up to 64 characters of 0-9 A-Z a-z _ - | * @", "reference"
        )
    fields: dict[str, Any] = {
        **_name_payment(request),
        "out_refund_no": request.reference,
        "amount": {
            "refund": request.amount_minor,
            "total": request.payment_amount_minor,
            "currency": CURRENCY,
        },
    }
    if client.webhook_url:
        fields["notify_url"] = client.webhook_url
    reason = shorten_bytes(request.reason, MAX_REASON_BYTES)
    if reason:
        fields["reason"] = reason
    try:
        answer = client.post(PATH, fields)
    except WechatApiError as error:
        return _resolve_refused_refund(client, request, error)
    return Reported(read_refund(answer, "status", request.payment.account.environment))


def find_refund(client: WechatClient, refund: RefundRef) -> RefundResult:
    """Finds a refund by our number. WeChat Pay answers no query by its own number, and none for several refunds."""
    if not refund.reference:
        return NotFoundAtChannel()
    answer = client.get(f"{PATH}/{quote(refund.reference, safe='')}", {})
    return Reported(read_refund(answer, "status", refund.payment.account.environment))


def read_refund(fields: Mapping[str, Any], status_field: str, environment: str) -> ChannelRefund:
    """Reads a refund. The field with its status is `status` in answers and `refund_status` in webhooks."""
    status = read_text(fields, status_field)
    if status not in _REFUND_STATES:
        raise UnexpectedFormat(f"a refund that is {status!r}")
    amount = read_object(fields, "amount")
    code, message = _FAILURES.get(status, ("", ""))
    return ChannelRefund(
        reference=read_text(fields, "out_refund_no"),
        channel_refund_no=read_text(fields, "refund_id"),
        state=_REFUND_STATES[status],
        amount_minor=read_fen(amount, "refund"),
        currency=str(amount.get("currency") or CURRENCY),
        failure_code=code,
        failure_message=message,
        environment=environment,
        payment_reference=str(fields.get("out_trade_no") or ""),
        payment_trade_no=str(fields.get("transaction_id") or ""),
    )


def _name_payment(request: CreateRefund) -> dict[str, str]:
    """WeChat Pay advises its own number, where it is known (…/4012556457)."""
    if request.payment.channel_trade_no:
        return {"transaction_id": request.payment.channel_trade_no}
    return {"out_trade_no": request.payment.reference}


def _resolve_refused_refund(
    client: WechatClient, request: CreateRefund, error: WechatApiError
) -> RefundResult:
    """Decides what a refusal means. It may be that of a repetition, and says nothing about the first call: only a query
    shows that there is no refund. WeChat Pay warns of the loss when a refund that failed is made again under another
    number, which is what the merchant does with one that we report as failed (…/4012556457, note 2)."""
    result = errors.to_result(error)
    if not isinstance(result, Declined | InvalidRequest | NotFoundAtChannel):
        return result
    found = _find_known_refund(client, request)
    if not isinstance(found, NotFoundAtChannel):
        return found
    if isinstance(result, NotFoundAtChannel):
        return _explain_missing_order(client, request, error)
    if errors.read_code(error) == "INVALID_REQUEST":
        # The code for every rule of refunds: the amount left, 50 refunds, 365 days. Wrong parameters are PARAM_ERROR.
        return Declined("refund_refused", error.message)
    return result


def _find_known_refund(client: WechatClient, request: CreateRefund) -> RefundResult:
    try:
        found = find_refund(client, RefundRef(request.reference, request.payment))
    except WechatApiError as error:
        found = errors.to_result(error)
    # Only the query was not processed: the refund may have been.
    return UnknownOutcome(found.reason, is_channel_fault=False) if isinstance(found, NotProcessed) else found


def _explain_missing_order(
    client: WechatClient, request: CreateRefund, error: WechatApiError
) -> RefundResult:
    """ "The order does not exist" is also said of unpaid orders, and now and then of paid ones, which a repetition with
    the same number mends (developers.weixin.qq.com/community/develop/doc/0002cc91f60120266c050ea3265c00)."""
    found = payments.find_payment(client, request.payment)
    if isinstance(found, Reported) and found.value.state == PaymentState.PAID:
        return NotProcessed(
            "WeChat Pay does not find the paid order now", RETRY_SECONDS, is_channel_fault=False
        )
    return Declined("nothing_to_refund", error.message)

"""Creates, finds and closes orders. All functions raise the exceptions of `WechatClient.get`.

One out_trade_no is one order: a repeated creation with the same parameters returns a new code for the same order, and
one with other parameters is refused (pay.weixin.qq.com/doc/v3/merchant/4012791877, time_expire).
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from channels.base import (
    CancelPayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NextAction,
    NotFoundAtChannel,
    NotProcessed,
    PaymentRef,
    PaymentResult,
    PaymentState,
    QrCodeAction,
    RedirectAction,
    Reported,
    SdkAction,
    UnexpectedFormat,
)
from channels.wechat import errors, signing
from channels.wechat.client import WechatApiError, WechatClient
from channels.wechat.fields import (
    CURRENCY,
    format_time,
    read_fen,
    read_object,
    read_text,
    shorten_bytes,
)

NATIVE, JSAPI, H5 = "wechat_native", "wechat_jsapi", "wechat_h5"
_PATHS = {
    NATIVE: "/v3/pay/transactions/native",
    JSAPI: "/v3/pay/transactions/jsapi",
    H5: "/v3/pay/transactions/h5",
}
METHODS_BY_TRADE_TYPE = {"NATIVE": NATIVE, "JSAPI": JSAPI, "MWEB": H5}
# How long a code_url and a prepay_id work; an h5_url must be opened within five minutes (…/4012791877, …/4012525167).
MAX_SECONDS_TO_PAY = 2 * 3600
MAX_DESCRIPTION_BYTES = 127
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")

# trade_state of …/4013070356. The last three are of payments by the customer's barcode, which we do not offer. A
# failed attempt leaves an order NOTPAY: the customer may try again.
_PAYMENT_STATES = {
    "NOTPAY": PaymentState.OPEN,
    "SUCCESS": PaymentState.PAID,
    "REFUND": PaymentState.PAID,  # something of it was refunded
    "CLOSED": PaymentState.CANCELLED,
    "REVOKED": PaymentState.CANCELLED,
    "USERPAYING": PaymentState.PROCESSING,
    "PAYERROR": PaymentState.OPEN,
}


def create_payment(client: WechatClient, request: CreatePayment) -> PaymentResult:
    refusal = _find_refusal(request)
    if refusal is not None:
        return refusal
    method = request.payment_method or NATIVE
    try:
        answer = client.post(_PATHS[method], _build_order(client, request, method))
    except WechatApiError as error:
        if not errors.is_about_existing_order(error):
            raise
        return _resolve_refused_creation(client, request, error)
    return Reported(
        ChannelPayment(
            reference=request.reference,
            channel_trade_no="",  # WeChat Pay has a number from the payment on
            state=PaymentState.OPEN,
            amount_minor=request.amount_minor,
            currency=CURRENCY,
            next_action=_read_action(client, request, method, answer),
            payment_method=method,
        )
    )


def find_payment(client: WechatClient, payment: PaymentRef) -> PaymentResult:
    """Finds an order by our number: unpaid orders have no other (…/4013070356).

    Without our number, a paid order is found by WeChat Pay's (pay.weixin.qq.com/doc/v3/merchant/4013070354).
    """
    path = f"/v3/pay/transactions/out-trade-no/{quote(payment.reference, safe='')}"
    if not payment.reference:
        path = f"/v3/pay/transactions/id/{quote(payment.channel_trade_no, safe='')}"
    answer = client.get(path, {"mchid": client.credentials.merchant_id})
    found = read_payment(answer)
    if payment.reference and found.reference != payment.reference:
        raise UnexpectedFormat("an answer about another order")
    return Reported(found)


def cancel_payment(client: WechatClient, request: CancelPayment) -> PaymentResult:
    """Closes an order that is open. A closed order can no longer be paid (…/4012556398)."""
    found = find_payment(client, request.payment)
    if not isinstance(found, Reported) or found.value.state != PaymentState.OPEN:
        return found
    try:
        close_order(client, request.payment.reference)
    except WechatApiError as error:
        if errors.read_code(error) == errors.RULE_LIMIT:
            # "The rules limit how often requests come", says the table of this call (…/4012556398).
            return NotProcessed(
                f"WeChat Pay limits our requests: {error}", errors.BUSY_SECONDS, is_channel_fault=False
            )
        if not errors.is_about_existing_order(error):
            raise
        found = find_payment(client, request.payment)
        if isinstance(found, Reported) and found.value.state == PaymentState.OPEN:
            return errors.to_result(error)
        return found
    return Reported(replace(found.value, state=PaymentState.CANCELLED))


def close_order(client: WechatClient, reference: str) -> None:
    path = f"/v3/pay/transactions/out-trade-no/{quote(reference, safe='')}/close"
    client.post(path, {"mchid": client.credentials.merchant_id})


def read_payment(fields: Mapping[str, Any]) -> ChannelPayment:
    """Reads an order from the answer of a query, or from a webhook's resource."""
    trade_state = read_text(fields, "trade_state")
    if trade_state not in _PAYMENT_STATES:
        raise UnexpectedFormat(f"an order that is {trade_state!r}")
    state = _PAYMENT_STATES[trade_state]
    is_paid = state == PaymentState.PAID
    # Of an order that is not paid, WeChat Pay need not say the amount, nor all of it.
    amount = read_object(fields, "amount") if is_paid or fields.get("amount") else {}
    total = read_fen(amount, "total") if is_paid or "total" in amount else None
    return ChannelPayment(
        reference=read_text(fields, "out_trade_no"),
        channel_trade_no=read_text(fields, "transaction_id") if is_paid else "",
        state=state,
        amount_minor=total,
        currency=str(amount.get("currency") or CURRENCY),
        captured_minor=total if is_paid and total else 0,
        payment_method=METHODS_BY_TRADE_TYPE.get(str(fields.get("trade_type")), ""),
    )


def _find_refusal(request: CreatePayment) -> PaymentResult | None:
    """Refuses without a call what WeChat Pay can never accept."""
    if (request.payment_method or NATIVE) not in _PATHS:
        return InvalidRequest("PARAM_ERROR", "WeChat Pay has no such payment method", "payment_method")
    if request.currency != CURRENCY:
        return Declined("currency_not_supported", "WeChat Pay takes only CNY.", can_fail_over=True)
    if request.manual_capture:
        return Declined(
            "manual_capture_not_supported", "WeChat Pay has no authorization.", can_fail_over=True
        )
    if not _OUT_TRADE_NO.fullmatch(request.reference):
        return InvalidRequest(
            "PARAM_ERROR", "out_trade_no: 6 to 32 characters of 0-9 A-Z a-z _ - | *", "reference"
        )
    if request.payment_method == JSAPI and not request.payment_method_options.get("openid"):
        return InvalidRequest(
            "PARAM_ERROR", "JSAPI needs the openid of the customer", "payment_method_options.openid"
        )
    if request.payment_method == H5 and not request.customer.client_ip:
        return InvalidRequest("PARAM_ERROR", "H5 needs the IP address of the customer", "client_ip")
    return None


def _build_order(client: WechatClient, request: CreatePayment, method: str) -> dict[str, Any]:
    order: dict[str, Any] = {
        "appid": client.credentials.app_id,
        "mchid": client.credentials.merchant_id,
        "description": shorten_bytes(request.subject, MAX_DESCRIPTION_BYTES) or request.reference,
        "out_trade_no": request.reference,
        # The same in each repetition, which WeChat Pay requires.
        "time_expire": format_time(_read_start(request) + dt.timedelta(seconds=request.expires_in_seconds)),
        "notify_url": client.webhook_url,
        "amount": {"total": request.amount_minor, "currency": CURRENCY},
    }
    if method == JSAPI:
        order["payer"] = {"openid": str(request.payment_method_options["openid"])}
    if method == H5:
        order["scene_info"] = {"payer_client_ip": request.customer.client_ip, "h5_info": {"type": "Wap"}}
    return order


def _read_start(request: CreatePayment) -> dt.datetime:
    return request.intended_at or request.started_at or dt.datetime.now(dt.UTC)


def _read_action(
    client: WechatClient, request: CreatePayment, method: str, answer: Mapping[str, Any]
) -> NextAction:
    began_at = _read_start(request)
    if method == NATIVE:
        lives = dt.timedelta(seconds=min(request.expires_in_seconds, MAX_SECONDS_TO_PAY))
        return QrCodeAction(read_text(answer, "code_url"), began_at + lives)
    if method == JSAPI:
        prepay_id = read_text(answer, "prepay_id")
        # The same in each repetition: one order has one set of parameters.
        nonce = hashlib.sha256(prepay_id.encode()).hexdigest()[:32]
        return SdkAction(
            signing.build_bridge_params(
                client.credentials, prepay_id, timestamp=int(began_at.timestamp()), nonce=nonce
            )
        )
    url = read_text(answer, "h5_url")
    if not request.return_url:
        return RedirectAction(url)
    # After the payment WeChat returns here; the host must be registered there (…/4012791835).
    return RedirectAction(f"{url}&redirect_url={quote(request.return_url, safe='')}")


def _resolve_refused_creation(
    client: WechatClient, request: CreatePayment, refusal: WechatApiError
) -> PaymentResult:
    """The number has an order already: an earlier call has made it, whose answer was lost. It may be paid or closed."""
    payment = PaymentRef(request.reference, request.account, request.timeout_seconds)
    try:
        found = find_payment(client, payment)
    except WechatApiError as error:
        found = errors.to_result(error)
    if isinstance(found, NotFoundAtChannel):
        return errors.to_result(refusal)
    if not isinstance(found, Reported) or found.value.state != PaymentState.OPEN:
        return found
    # It is open, and WeChat Pay refuses to give its code again. Nobody has the code: close it and make another one.
    closed = cancel_payment(client, CancelPayment(request.key, payment))
    if isinstance(closed, Reported) and closed.value.state == PaymentState.CANCELLED:
        return NewKeyRequired(f"the order of this number has other parameters: {refusal}", is_harmless=True)
    return closed

"""Creates and closes payments at Alipay. All functions raise what `Gateway.call` raises.

alipay_page  alipay.trade.page.pay   a form that the browser posts, signed here without a call
alipay_wap   alipay.trade.wap.pay    the same for phones
alipay_qr    alipay.trade.precreate  a QR code, from a call
"""

import datetime as dt
import re
from typing import Any

from channels.alipay import errors
from channels.alipay.amounts import CURRENCY, MAX_MINOR, MIN_MINOR, to_yuan
from channels.alipay.fields import read_text, require_same, to_alipay_number, to_beijing_text
from channels.alipay.gateway import Gateway
from channels.alipay.trades import describe_missing_trade, find_trade, name_trade
from channels.base import (
    CancelPayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NextAction,
    NotFoundAtChannel,
    PaymentRef,
    PaymentResult,
    PaymentState,
    QrCodeAction,
    Reported,
)

PAGE, WAP, QR_CODE = "alipay_page", "alipay_wap", "alipay_qr"
# `product_code` of each method (docs.open.alipay.com/api_1/alipay.trade.page.pay, …wap.pay, …precreate).
_METHODS = {
    PAGE: ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    WAP: ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
    QR_CODE: ("alipay.trade.precreate", "FACE_TO_FACE_PAYMENT"),
}
CLOSE = "alipay.trade.close"
# `time_expire` of pages: 1 minute to 15 days. A QR code cannot be scanned for longer than 2 hours.
MAX_PAGE_SECONDS, MAX_QR_SECONDS = 15 * 86_400, 2 * 3600
MAX_SUBJECT, MAX_BODY, MAX_URL = 256, 128, 256
# "No special characters, such as / = &" (`subject`).
_REFUSED_IN_SUBJECT = re.compile(r"[/=&\x00-\x1f\x7f]+")


def create_payment(gateway: Gateway, request: CreatePayment) -> PaymentResult:
    refusal = _refuse(request)
    if refusal is not None:
        return refusal
    method, product_code = _METHODS[request.payment_method or PAGE]
    expires_at = _compute_expiry(request)
    biz_content = {
        "out_trade_no": to_alipay_number(request.reference),
        "total_amount": to_yuan(request.amount_minor),
        "subject": _clean_subject(request),
        "product_code": product_code,
        "time_expire": to_beijing_text(expires_at),
    }
    if request.description:
        biz_content["body"] = request.description[:MAX_BODY]
    if request.payment_method == QR_CODE:
        return _create_code(gateway, request, biz_content, expires_at)
    return_url = next((url for url in (request.return_url, request.checkout_url) if _fits(url)), "")
    if request.payment_method == WAP and return_url:
        biz_content["quit_url"] = return_url
    page = gateway.build_page(
        method,
        biz_content,
        notify_url=request.account.webhook_url,
        return_url=return_url,
        # The same for each repetition of the call.
        signed_at=request.intended_at or dt.datetime.now(dt.UTC),
    )
    return Reported(_describe_new_payment(request, page))


def _create_code(
    gateway: Gateway, request: CreatePayment, biz_content: dict[str, Any], expires_at: dt.datetime
) -> PaymentResult:
    """A repetition gets another code of the same trade, because the trade's number is the same."""
    method, _product = _METHODS[QR_CODE]
    answer = gateway.call(method, biz_content, notify_url=request.account.webhook_url)
    if answer.sub_code in errors.TRADE_EXISTS:
        # The customer has scanned the code of an earlier call, whose answer was lost.
        ref = PaymentRef(
            request.reference, request.account, request.timeout_seconds, started_at=request.started_at
        )
        return find_trade(gateway, ref)
    if not answer.is_success:
        return errors.to_result(answer)
    require_same(answer.fields, "out_trade_no", biz_content["out_trade_no"])
    code = QrCodeAction(read_text(answer.fields, "qr_code"), expires_at)
    return Reported(_describe_new_payment(request, code))


def cancel_payment(gateway: Gateway, request: CancelPayment) -> PaymentResult:
    """Closes the trade and reports it.

    A trade that does not exist cannot be closed, and no call of Alipay's prevents it: alipay.trade.cancel answers
    "success" for it without an effect, and refunds a trade that is paid. Its page or code has to be outwaited.
    """
    answer = gateway.call(CLOSE, name_trade(request.payment))
    if answer.is_success or answer.sub_code in errors.NOT_WAITING:
        return find_trade(gateway, request.payment)
    result = errors.to_result(answer)
    return describe_missing_trade(request.payment) if isinstance(result, NotFoundAtChannel) else result


def _refuse(request: CreatePayment) -> Declined | InvalidRequest | None:
    """Refuses requests that Alipay never accepts. The platform checks the same before an order exists; this is the
    second check."""
    if request.payment_method not in ("", *_METHODS):
        return InvalidRequest("unknown_payment_method", f"Alipay has no method {request.payment_method!r}.")
    if request.currency != CURRENCY:
        return Declined("currency_not_supported", "Alipay takes CNY only.", can_fail_over=True)
    if not MIN_MINOR <= request.amount_minor <= MAX_MINOR:
        return Declined("amount_not_supported", "Alipay takes 0.01 to 100000000 yuan.", can_fail_over=True)
    if request.manual_capture:
        return Declined("capture_not_supported", "Alipay captures at once.", can_fail_over=True)
    return None


def _compute_expiry(request: CreatePayment) -> dt.datetime:
    """The end of the payment, in whole seconds: `PaymentRef.expires_at` is never earlier."""
    started_at = request.started_at or request.intended_at or dt.datetime.now(dt.UTC)
    return (started_at + dt.timedelta(seconds=request.expires_in_seconds)).replace(microsecond=0)


def _clean_subject(request: CreatePayment) -> str:
    return _REFUSED_IN_SUBJECT.sub(" ", request.subject).strip()[:MAX_SUBJECT] or request.reference


def _fits(url: str) -> bool:
    return 0 < len(url) <= MAX_URL


def _describe_new_payment(request: CreatePayment, action: NextAction) -> ChannelPayment:
    """A payment whose trade does not exist yet: it has no number of Alipay's."""
    return ChannelPayment(
        reference=request.reference,
        channel_trade_no="",
        state=PaymentState.OPEN,
        amount_minor=request.amount_minor,
        currency=request.currency,
        next_action=action,
    )

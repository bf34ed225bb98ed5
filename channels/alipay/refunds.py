"""Refunds trades and queries refunds. All functions raise what `Gateway.call` raises.

Alipay refunds once for each `out_request_no`, however often it is sent: docs.open.alipay.com/api_1/alipay.trade.refund.
It has no number of its own for a refund, and no list of a trade's refunds.
"""

from channels.alipay import errors
from channels.alipay.amounts import CURRENCY, from_yuan, to_yuan
from channels.alipay.fields import from_alipay_number, read_text, require_same, to_alipay_number
from channels.alipay.gateway import Gateway
from channels.alipay.trades import name_trade
from channels.base import (
    ChannelRefund,
    CreateRefund,
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    RefundRef,
    RefundResult,
    RefundState,
    Reported,
    UnexpectedFormat,
    UnknownOutcome,
)

REFUND, REFUND_QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"
MAX_REASON = 256
_NUMBER_SEPARATOR = ":"


def create_refund(gateway: Gateway, request: CreateRefund) -> RefundResult:
    biz_content = {
        **name_trade(request.payment),
        "refund_amount": to_yuan(request.amount_minor),
        "out_request_no": to_alipay_number(request.reference),
        **({"refund_reason": request.reason[:MAX_REASON]} if request.reason else {}),
    }
    answer = gateway.call(REFUND, biz_content)
    ref = RefundRef(request.reference, request.payment)
    if not answer.is_success:
        return _check_refusal(gateway, ref, errors.to_refund_result(answer))
    if request.payment.reference:
        require_same(answer.fields, "out_trade_no", to_alipay_number(request.payment.reference))
    if answer.fields.get("fund_change") != "Y":
        # Nothing moved now: an earlier call with this number has refunded, or Alipay has not decided yet.
        found = find_refund(gateway, ref)
        if isinstance(found, NotFoundAtChannel):
            return UnknownOutcome("Alipay has accepted the refund and does not report it yet")
        return found
    if from_yuan(answer.fields.get("refund_fee")) < request.amount_minor:
        raise UnexpectedFormat("less was refunded in all than by this refund")
    return Reported(
        ChannelRefund(
            reference=request.reference,
            channel_refund_no=build_refund_no(
                read_text(answer.fields, "trade_no"), biz_content["out_request_no"]
            ),
            state=RefundState.SUCCEEDED,
            amount_minor=request.amount_minor,
            currency=CURRENCY,
            environment=request.payment.account.environment,
        )
    )


def find_refund(gateway: Gateway, ref: RefundRef) -> RefundResult:
    """Alipay may not know a refund that it received in the last ten seconds. Repeating the refund is safe then."""
    number = read_request_no(ref.channel_refund_no) or to_alipay_number(ref.reference)
    answer = gateway.call(REFUND_QUERY, {**name_trade(ref.payment), "out_request_no": number})
    if not answer.is_success:
        return errors.to_result(answer, is_query=True)
    if not answer.fields.get("refund_status") and not answer.fields.get("refund_amount"):
        return NotFoundAtChannel()
    if answer.fields.get("refund_status") != "REFUND_SUCCESS":
        raise UnexpectedFormat(f"a refund that is {answer.fields.get('refund_status')!r}")
    require_same(answer.fields, "out_request_no", number)
    return Reported(
        ChannelRefund(
            reference=read_our_number(number),
            channel_refund_no=build_refund_no(read_text(answer.fields, "trade_no"), number),
            state=RefundState.SUCCEEDED,
            amount_minor=from_yuan(answer.fields.get("refund_amount")),
            currency=CURRENCY,
            environment=ref.payment.account.environment,
        )
    )


def build_refund_no(trade_no: str, request_no: str) -> str:
    """Names a refund of any origin: `out_request_no` is unique within its trade only."""
    return f"{trade_no}{_NUMBER_SEPARATOR}{request_no}"


def read_our_number(request_no: str) -> str:
    """Our refund number; empty for a refund that was made in Alipay's console or by another system."""
    reference = from_alipay_number(request_no)
    return reference if reference.startswith("REF-") else ""


def read_request_no(channel_refund_no: str) -> str:
    return channel_refund_no.partition(_NUMBER_SEPARATOR)[2]


def _check_refusal(gateway: Gateway, ref: RefundRef, refusal: errors.ErrorResult) -> RefundResult:
    """A refusal of a repetition says nothing about the first call: only a query shows that there is no refund."""
    if not isinstance(refusal, Declined | InvalidRequest | NotFoundAtChannel):
        return refusal
    found = find_refund(gateway, ref)
    if isinstance(found, NotFoundAtChannel):
        return _NOTHING_PAID if isinstance(refusal, NotFoundAtChannel) else refusal
    return found


_NOTHING_PAID = Declined("nothing_to_refund", "Alipay holds no money of this payment.")

"""Queries trades, which are Alipay's payments, and reads them (docs.open.alipay.com/api_1/alipay.trade.query).

A trade does not exist before the customer has opened the page or scanned the code. Until `time_expire` the answer
"trade does not exist" therefore means `NotYet`.
"""

import datetime as dt

from channels.alipay import errors
from channels.alipay.amounts import CURRENCY, from_yuan
from channels.alipay.fields import (
    AlipayFields,
    from_alipay_number,
    read_text,
    require_same,
    to_alipay_number,
)
from channels.alipay.gateway import Gateway
from channels.base import (
    ChannelPayment,
    NotFoundAtChannel,
    NotYet,
    PaymentRef,
    PaymentResult,
    PaymentState,
    Reported,
    UnexpectedFormat,
)

QUERY = "alipay.trade.query"
# The longest life of a page (`time_expire` of alipay.trade.page.pay), where the end of a payment is not known.
LONGEST_LIFE = dt.timedelta(days=15)
# How far Alipay's clock and ours may differ.
CLOCK_MARGIN = dt.timedelta(seconds=60)

_STATES = {
    "WAIT_BUYER_PAY": PaymentState.OPEN,
    "TRADE_SUCCESS": PaymentState.PAID,
    "TRADE_FINISHED": PaymentState.PAID,  # and can no longer be refunded
}
_CLOSED = "TRADE_CLOSED"


def find_trade(gateway: Gateway, ref: PaymentRef) -> PaymentResult:
    """Raises what `Gateway.call` raises."""
    answer = gateway.call(QUERY, name_trade(ref))
    if not answer.is_success:
        result = errors.to_result(answer, is_query=True)
        return describe_missing_trade(ref) if isinstance(result, NotFoundAtChannel) else result
    if ref.reference:
        require_same(answer.fields, "out_trade_no", to_alipay_number(ref.reference))
    # The time of the payment: without it, nobody has paid a closed trade.
    return Reported(read_trade(answer.fields, is_paid=bool(answer.fields.get("send_pay_date"))))


def describe_missing_trade(ref: PaymentRef) -> NotYet | NotFoundAtChannel:
    """Converts the answer that Alipay does not know the trade."""
    if not ref.reference:
        return NotFoundAtChannel()  # named by Alipay's own number
    now = dt.datetime.now(dt.UTC)
    until = (ref.expires_at or (ref.started_at or now) + LONGEST_LIFE) + CLOCK_MARGIN
    return NotYet(until) if now < until else NotFoundAtChannel()


def name_trade(ref: PaymentRef) -> dict[str, str]:
    if ref.reference:
        return {"out_trade_no": to_alipay_number(ref.reference)}
    return {"trade_no": ref.channel_trade_no}


def read_trade(fields: AlipayFields, *, is_paid: bool) -> ChannelPayment:
    """Reads the fields that answers and notices have in common.

    `is_paid`: somebody has paid the trade. A closed trade was either never paid, or refunded completely; its refunds
    are reported apart from it.
    """
    status = read_text(fields, "trade_status")
    if status == _CLOSED:
        state = PaymentState.PAID if is_paid else PaymentState.CANCELLED
    elif status in _STATES:
        state = _STATES[status]
    else:
        raise UnexpectedFormat(f"a trade that is {status!r}")
    amount_minor = from_yuan(fields.get("total_amount"))
    return ChannelPayment(
        reference=from_alipay_number(read_text(fields, "out_trade_no")),
        channel_trade_no=read_text(fields, "trade_no"),
        state=state,
        amount_minor=amount_minor,
        currency=CURRENCY,
        captured_minor=amount_minor if state == PaymentState.PAID else 0,
    )

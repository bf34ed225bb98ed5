"""Adopts a further attempt of a payment that we know: the fallback channel after a decline, or the merchant's retry."""

from django.conf import settings

from channels.base import ChannelPayment
from gateway import state_machine
from gateway.models import AttemptStatus, Payment, PaymentAttempt
from gateway.update_source import UpdateSource
from orders import services as orders


def adopt_attempt(*, payment: Payment, number: int, update: ChannelPayment, source: UpdateSource) -> None:
    """Adds attempt `number`. It becomes the current one, unless it is older, or the payment has taken money: what it
    took is then a duplicate payment. The caller holds the payment's lock, and no saga works on it."""
    is_newest = number >= state_machine.get_next_attempt_number(payment=payment)
    if not is_newest or payment.captured_minor:
        _add_earlier_attempt(payment, number, update, source)
    elif payment.is_open:
        state_machine.begin_next_attempt(
            payment=payment,
            number=number,
            channel=source.channel,
            channel_account_id=source.account_id,
            sandbox=False,
            application_fee_minor=0,
            payment_method=update.payment_method,
            code="replaced",
            message="a later attempt was found at the channel after a restore",
        )
        payment.refresh_from_db()
    else:
        _reopen(payment, number, update, source)


def _reopen(payment: Payment, number: int, update: ChannelPayment, source: UpdateSource) -> None:
    """The saga that began the attempt is lost: the payment's first one stands for it."""
    state_machine.reopen_payment(
        payment=payment,
        number=number,
        opened_by=payment.id,
        expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
        channel=source.channel,
        channel_account_id=source.account_id,
        sandbox=False,
        application_fee_minor=0,
        payment_method=update.payment_method,
    )
    orders.reopen_order(order_id=payment.order_id)


def _add_earlier_attempt(payment: Payment, number: int, update: ChannelPayment, source: UpdateSource) -> None:
    PaymentAttempt.objects.create(
        payment=payment,
        number=number,
        reference=update.reference,
        channel=source.channel,
        channel_account_id=source.account_id,
        status=AttemptStatus.DECLINED,
        channel_trade_no=update.channel_trade_no,
    )

"""The payment methods, and how their customer comes to the simulator's page: by an address, a code or a form."""

from django.conf import settings

from channels.base import (
    ActionType,
    FormAction,
    NextAction,
    PaymentCard,
    PaymentMethod,
    PaymentState,
    QrCodeAction,
    RedirectAction,
)
from channels.simulator.models import SimulatedPayment

# The customer only approves the payment: the platform completes it, as at PayPal.
APPROVAL = "simulator_approval"
METHODS = (
    PaymentMethod("simulator", ActionType.REDIRECT, can_capture_manually=True),
    PaymentMethod("simulator_qr", ActionType.QR_CODE, can_capture_manually=True),
    PaymentMethod("simulator_form", ActionType.FORM, can_capture_manually=True),
    PaymentMethod(APPROVAL, ActionType.REDIRECT, can_capture_manually=True),
)
# The simulator also serves in place of channels that are not set up, whose methods have these actions.
_CODES = frozenset({"simulator_qr", "wechat_native", "alipay_qr"})
_FORMS = frozenset({"simulator_form", "alipay_page", "alipay_wap"})


# Which card a customer of the simulator uses: it depends on the amount alone.
CARDS = (
    PaymentCard("visa", "4242"),
    PaymentCard("mastercard", "4444"),
    PaymentCard("visa", "1881", "apple_pay"),
    PaymentCard("amex", "0005"),
    PaymentCard("unionpay", "9424"),
    PaymentCard("mastercard", "8210", "google_pay"),
    PaymentCard("jcb", "0505"),
)


def choose_card(payment: SimulatedPayment) -> PaymentCard | None:
    """None before the customer has paid, and for the methods that are not a card page."""
    has_no_card = payment.payment_method in (*_CODES, *_FORMS, APPROVAL)
    if has_no_card or payment.state not in (PaymentState.PAID, PaymentState.AUTHORIZED):
        return None
    return CARDS[payment.amount // 100 % len(CARDS)]


def build_payment_url(payment: SimulatedPayment) -> str:
    """The address of the simulator's page."""
    return f"{settings.PUBLIC_BASE_URL}/checkout/{payment.token}"


def choose_next_action(payment: SimulatedPayment) -> NextAction:
    if payment.payment_method in _CODES:
        return QrCodeAction(build_payment_url(payment))
    if payment.payment_method in _FORMS:
        url = f"{settings.PUBLIC_BASE_URL}/checkout/simulator/form"
        return FormAction(url, {"token": payment.token})
    return RedirectAction(build_payment_url(payment))

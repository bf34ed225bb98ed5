"""The payment methods, and how their customer comes to the simulator's page: by an address, a code or a form."""

from django.conf import settings

from channels.base import ActionType, FormAction, NextAction, PaymentMethod, QrCodeAction, RedirectAction
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

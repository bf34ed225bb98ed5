from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry


class DuplicateOrderNo(ApiError):
    """`details` names the existing object: `payment_no` when the order has a payment."""

    status, code, error_code = 409, 40910, "duplicate_order_no"
    text = _("This order_no was used before.")
    retry = Retry.CORRECTED
    advice = "Look at the payment that `details.payment_no` names, or use another `order_no`."
    is_final_answer = True


class OrderNotPayable(ApiError):
    """The order exists and is not waiting for payment."""

    status, code, error_code = 409, 40911, "order_not_payable"
    text = _("The order is not waiting for payment.")
    retry = Retry.NO
    advice = "Create a new order."
    is_final_answer = True


class OrderMismatch(ApiError):
    """The order exists with another amount or currency."""

    status, code, error_code = 422, 42211, "order_mismatch"
    text = _("The order exists with another amount or currency.")
    retry = Retry.CORRECTED
    advice = "Send the order's own amount and currency."
    is_final_answer = True


class OrderPaid(ApiError):
    status, code, error_code = 409, 40912, "order_paid"
    text = _("The order is paid: refund the payment instead of cancelling.")
    retry = Retry.NO
    advice = "Refund the payment."
    is_final_answer = True

"""What the gateway refuses, in the contract's words."""

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError


class ChannelUnavailable(ApiError):
    status, code, error_code = 422, 42220, "channel_not_available"
    text = _("This channel is not available for your key.")


class RefundExceedsPayment(ApiError):
    """`details` tells the amount that can still be refunded."""

    status, code, error_code = 422, 42230, "refund_exceeds_payment"
    text = _("The refunds exceed the payment amount")
    is_final_answer = True


class PaymentNotRefundable(ApiError):
    status, code, error_code = 409, 40930, "payment_not_refundable"
    text = _("Only a succeeded payment can be refunded.")
    is_final_answer = True


class PaymentNotCancellable(ApiError):
    """A paid payment is refunded, a closed one needs nothing."""

    status, code, error_code = 409, 40920, "payment_not_cancellable"
    text = _("The payment cannot be cancelled in its present status.")
    is_final_answer = True


class PaymentNotCapturable(ApiError):
    status, code, error_code = 409, 40921, "payment_not_capturable"
    text = _("Only an authorized payment can be captured.")
    is_final_answer = True


class CaptureExceedsPayment(ApiError):
    status, code, error_code = 422, 42221, "capture_exceeds_payment"
    text = _("The capture exceeds the authorized amount.")
    is_final_answer = True


class PaymentDeclined(ApiError):
    """The channel said no, or could not be reached in time; the payment is closed and its order cancelled."""

    status, code, error_code = 402, 40201, "payment_declined"
    text = _("The payment was declined.")
    is_final_answer = True


class RefundDeclined(ApiError):
    status, code, error_code = 402, 40203, "refund_declined"
    text = _("The channel declined the refund.")
    is_final_answer = True


class CaptureDeclined(ApiError):
    status, code, error_code = 402, 40202, "capture_declined"
    text = _("The channel declined the capture.")
    is_final_answer = True


class OperationInProgress(ApiError):
    """Something else is being done to this payment right now."""

    status, code, error_code = 409, 40922, "operation_in_progress"
    text = _("Another operation on this payment is in progress, please try again later.")


class WebhookRejected(ApiError):
    status, code, error_code = 400, 40020, "webhook_rejected"
    text = _("The webhook is not authentic or not readable.")

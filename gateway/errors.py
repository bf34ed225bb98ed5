"""Errors of payments, refunds and webhooks in the HTTP contract."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry

# The failure code of payments and refunds that failed because the channel refused our request as invalid.
REQUEST_INVALID = "channel_request_invalid"


class ChannelUnavailable(ApiError):
    status, code, error_code = 422, 42220, "channel_not_available"
    text = _("This channel is not available for your key.")
    retry = Retry.CORRECTED
    advice = "Leave `channel` out, or name one that is set up for you."


class RefundExceedsPayment(ApiError):
    """`details` has the captured amount (below the payment's amount after a partial capture) and the refundable one."""

    status, code, error_code = 422, 42230, "refund_exceeds_payment"
    text = _("The refunds exceed the payment amount")
    retry = Retry.CORRECTED
    advice = "Refund at most `details.refundable_amount`."
    is_final_answer = True


class PaymentDisputed(ApiError):
    """The customer's bank has taken the disputed amount, or may do so: it cannot be refunded as well."""

    status, code, error_code = 409, 40931, "payment_disputed"
    text = _("The customer disputes this payment: the disputed amount cannot be refunded.")
    retry = Retry.CORRECTED
    advice = "Refund at most `details.refundable_amount`. Answer the dispute, or accept it."
    is_final_answer = True


class PaymentNotRefundable(ApiError):
    status, code, error_code = 409, 40930, "payment_not_refundable"
    text = _("Only captured money can be refunded.")
    retry = Retry.NO
    advice = "Look at the payment's `status` and `captured_amount`. An unpaid payment can be cancelled."
    is_final_answer = True


class RefundAdopted(ApiError):
    """The channel made a refund of this amount before our database was restored, perhaps for this very request. The
    platform's staff find out whether another one is wanted."""

    status, code, error_code = 409, 40933, "refund_adopted"
    text = _("A refund of this amount exists already, and it is being checked.")
    retry = Retry.SAME
    advice = "Look at the refund that `details.refund_no` names. Repeat the request later if you want a second refund."


class PaymentNotCancellable(ApiError):
    """The payment is paid, closed, or submitted by the customer."""

    status, code, error_code = 409, 40920, "payment_not_cancellable"
    text = _("The payment cannot be cancelled in its present status.")
    retry = Retry.NO
    advice = "Look at the payment's `status`. A paid payment can be refunded."
    is_final_answer = True


class PaymentNotCapturable(ApiError):
    status, code, error_code = 409, 40921, "payment_not_capturable"
    text = _("Only an authorized payment can be captured.")
    retry = Retry.NO
    advice = "Look at the payment's `status`."
    is_final_answer = True


class CaptureExceedsPayment(ApiError):
    status, code, error_code = 422, 42221, "capture_exceeds_payment"
    text = _("The capture exceeds the capturable amount.")
    retry = Retry.CORRECTED
    advice = "Capture at most `details.capturable_amount`."
    is_final_answer = True


class RepeatedCaptureNotSupported(ApiError):
    """Nothing was sent. `details.max_captures` is there when the channel limits the number of captures."""

    status, code, error_code = 422, 42223, "repeated_capture_not_supported"
    text = _("This payment cannot be captured again.")
    retry = Retry.CORRECTED
    advice = "Capture once, with `final_capture: true` or without it: the rest is released."
    is_final_answer = True


class IncrementNotSupported(ApiError):
    """Nothing was sent. `details.max_increments` is there when the limit of the channel is reached."""

    status, code, error_code = 422, 42224, "increment_not_supported"
    text = _("The channel cannot increment this authorization.")
    retry = Retry.NO
    advice = "Take the difference as a payment of its own."
    is_final_answer = True


class PaymentNotIncrementable(ApiError):
    status, code, error_code = 409, 40923, "payment_not_incrementable"
    text = _("Only an authorized payment of which nothing was captured can be incremented.")
    retry = Retry.NO
    advice = "Look at the payment's `status` and `captured_amount`."
    is_final_answer = True


class IncrementTooSmall(ApiError):
    """`amount` is the new total, not the difference."""

    status, code, error_code = 422, 42225, "increment_too_small"
    text = _("The new amount must be above the authorized amount.")
    retry = Retry.CORRECTED
    advice = "Give the new total, above `details.authorized_amount`."
    is_final_answer = True


class PaymentDeclined(ApiError):
    """The channel declined, or could not be reached in time; the payment is closed and its order cancelled."""

    status, code, error_code = 402, 40201, "payment_declined"
    text = _("The payment was declined.")
    retry = Retry.CORRECTED
    advice = (
        "Show it to the customer; `details.failure_code` has the reason. A further attempt is a new request "
        "with a new Idempotency-Key."
    )
    is_final_answer = True


class RefundDeclined(ApiError):
    status, code, error_code = 402, 40203, "refund_declined"
    text = _("The channel declined the refund.")
    retry = Retry.NO
    advice = "Look at `details.failure_code`; refund by other means."
    is_final_answer = True


class CaptureDeclined(ApiError):
    status, code, error_code = 402, 40202, "capture_declined"
    text = _("The channel declined the capture.")
    retry = Retry.NO
    advice = "Look at `details.failure_code` and at the payment's `status`."
    is_final_answer = True


class IncrementDeclined(ApiError):
    """The authorization is as it was before."""

    status, code, error_code = 402, 40204, "increment_declined"
    text = _("The increment of the authorization was declined.")
    retry = Retry.NO
    advice = "Look at `details.failure_code`. The payment can be captured up to `details.authorized_amount`."
    is_final_answer = True


class ChannelRequestInvalid(ApiError):
    """The channel refused the platform's request as invalid. No customer was declined; staff are alerted. `details` has
    the same fields as for a decline."""

    status, code, error_code = 502, 50220, "channel_request_invalid"
    text = _("The channel refused our request as invalid: nothing was charged or refunded.")
    retry = Retry.NO
    advice = (
        "Look at `details.failure_message`: it may name one of your parameters, such as a saved card. Otherwise it "
        "is our defect, and our staff are alerted."
    )
    is_final_answer = True


class AmountNotSupported(ApiError):
    """The payment method has a smallest and a largest amount, or the channel takes amounts of this currency in steps.
    Nothing was sent."""

    status, code, error_code = 422, 42222, "amount_not_supported"
    text = _("The channel does not take this amount.")
    retry = Retry.CORRECTED
    advice = (
        "Choose an amount from `details.min_amount` to `details.max_amount` that is a multiple of "
        "`details.multiple_of`, in minor units; `details` names the limits that the amount breaks."
    )


class DisputeNotAnswerable(ApiError):
    """The dispute is closed, its due date is over, another response is being submitted, or the channel takes responses
    only on its own pages."""

    status, code, error_code = 409, 40932, "dispute_not_answerable"
    text = _("This dispute cannot be answered here.")
    retry = Retry.NO
    advice = (
        "`details.reason` says why: `closed`, `past_due`, `in_progress`, `no_evidence` (there is no draft), or "
        "`not_supported` (answer on the channel's own pages)."
    )


class DisputeAnswerDeclined(ApiError):
    """The channel refused the response, or the dispute was closed meanwhile. Nothing was submitted."""

    status, code, error_code = 422, 42233, "dispute_answer_declined"
    text = _("The channel has not taken the response to the dispute.")
    retry = Retry.CORRECTED
    advice = (
        "`details.failure_code` and `details.failure_message` say why; correct the draft and submit it again."
    )
    is_final_answer = True


class RefundWindowOver(ApiError):
    status, code, error_code = 422, 42231, "refund_window_over"
    text = _("The channel no longer refunds this payment: it was paid too long ago.")
    retry = Retry.NO
    advice = "Refund by other means; `details.refundable_until` says until when the channel refunded."
    is_final_answer = True


class RefundCountReached(ApiError):
    status, code, error_code = 422, 42232, "refund_count_reached"
    text = _("The channel makes no further refund of this payment.")
    retry = Retry.NO
    advice = (
        "Refund by other means; `details.max_refunds` says how many refunds of one payment the channel makes."
    )
    is_final_answer = True


def build_declined_error(error: type[ApiError], details: Mapping[str, Any]) -> ApiError:
    """The error for a decline by the channel: `error`, or `ChannelRequestInvalid` when our own request was wrong."""
    is_our_fault = details.get("failure_code") == REQUEST_INVALID
    return (ChannelRequestInvalid if is_our_fault else error)(details)


class OperationInProgress(ApiError):
    def __init__(self, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(details, headers={"Retry-After": "2"})

    status, code, error_code = 409, 40922, "operation_in_progress"
    text = _("Another operation on this payment is in progress, please try again later.")
    retry = Retry.SAME
    advice = "Wait `Retry-After` seconds, then repeat."


class WebhookRejected(ApiError):
    status, code, error_code = 400, 40020, "webhook_rejected"
    text = _("The webhook is not authentic or not readable.")
    retry = Retry.NO
    advice = "Only channels call this address."

"""Errors of the API about webhook endpoints and deliveries."""

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry


class EndpointNotUsable(ApiError):
    """`details` says why: the endpoint is disabled, or it is the one of `callback_url`, which has no address."""

    status, code, error_code, is_final_answer = 409, 40981, "webhook_endpoint_not_usable", True
    text = _(
        "This webhook endpoint does not allow that: it is disabled, or it is the endpoint of callback_url. See details."
    )
    retry = Retry.NO
    advice = "Enable the endpoint first (`PATCH` with `status: enabled`)."


class TooManyEndpoints(ApiError):
    status, code, error_code, is_final_answer = 409, 40982, "too_many_webhook_endpoints", True
    text = _("There are too many webhook endpoints. Delete those that you no longer need.")
    retry = Retry.NO
    advice = "Delete endpoints that are no longer used."


class RangeTooLong(ApiError):
    status, code, error_code, is_final_answer = 422, 42281, "resend_range_too_long", True
    text = _("There are too many events in this period. Choose a shorter one.")
    retry = Retry.CORRECTED
    advice = "Give a shorter time between `created_from` and `created_to`."

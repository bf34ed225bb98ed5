"""Errors of payouts."""

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry


class PayoutsUnavailable(ApiError):
    status, code, error_code = 409, 40960, "payouts_unavailable"
    text = _(
        "This platform holds no money for merchants, so it pays none out: the channel pays your own channel account."
    )
    retry = Retry.NO
    advice = "Read your payouts at the channel. The platform's operator sets this for the whole platform."
    is_final_answer = True


class NoPayoutPlan(ApiError):
    status, code, error_code = 409, 40961, "no_payout_plan"
    text = _("You have no payout plan yet.")
    retry = Retry.SAME
    advice = "Ask the platform for a payout plan."

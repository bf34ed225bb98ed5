from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry


class RequestInFlight(ApiError):
    """Another request with this key is being processed: the same answer will be there soon."""

    status, code, error_code = 409, 40901, "idempotency_in_flight"
    text = _("The request is being processed, please try again later")
    retry = Retry.SAME
    advice = "Repeat after `Retry-After` seconds: the answer of the first request comes back."


class IdempotencyKeyReused(ApiError):
    """The key was used for another request. `details.fields` names the fields that differ."""

    status, code, error_code = 422, 42201, "idempotency_key_reused"
    text = _("This Idempotency-Key was used for a different request.")
    retry = Retry.CORRECTED
    advice = "Use a new Idempotency-Key for a new request. To repeat the first one, send exactly its body."

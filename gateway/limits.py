"""Checks the limits of a channel before anything is written or sent."""

from django.utils.translation import gettext as _

from channels.registry import get_capabilities
from common.errors import ApiError, ValidationFailed
from gateway.errors import AmountNotSupported


def find_refusal(
    *, channel: str, amount_minor: int, currency: str, expires_in_seconds: int | None = None
) -> ApiError | None:
    """The reason why the channel cannot take a payment, capture or refund of this amount; None when it can.

    No minimum amount is checked. Stripe's minimums depend on the account's settlement currency, which is not known
    here, and they change: Stripe's `amount_too_small` declines the payment, or another channel is tried.
    """
    capabilities = get_capabilities(channel)
    step = capabilities.get_amount_step(currency)
    if amount_minor % step:
        return AmountNotSupported(
            {"channel": channel, "currency": currency, "amount": amount_minor, "multiple_of": step}
        )
    method = capabilities.get_method("")
    max_seconds = method.max_seconds_to_pay if method else None
    if expires_in_seconds is not None and max_seconds is not None and expires_in_seconds > max_seconds:
        text = _("At most %(seconds)s with channel %(channel)s.") % {
            "seconds": max_seconds,
            "channel": channel,
        }
        return ValidationFailed({"expires_in": [text]})
    return None


def require_amount(*, channel: str, amount_minor: int, currency: str) -> None:
    """Raises `AmountNotSupported`."""
    refusal = find_refusal(channel=channel, amount_minor=amount_minor, currency=currency)
    if refusal is not None:
        raise refusal

"""What a channel does not take is refused before anything is written or sent."""

from django.utils.translation import gettext as _

from channels.registry import get_channel_limits
from common.errors import ApiError, ValidationFailed
from gateway.errors import AmountNotSupported


def refusal(
    *, channel: str, amount_minor: int, currency: str, expires_in_seconds: int | None = None
) -> ApiError | None:
    """Why the channel cannot take a payment, a capture or a refund of this amount; None when it can."""
    limits = get_channel_limits(channel)
    step = limits.get_amount_step(currency)
    if amount_minor % step:
        return AmountNotSupported(
            {"channel": channel, "currency": currency, "amount": amount_minor, "multiple_of": step}
        )
    longest = limits.max_seconds_to_pay
    if expires_in_seconds is not None and longest is not None and expires_in_seconds > longest:
        most = _("At most %(seconds)s with channel %(channel)s.") % {"seconds": longest, "channel": channel}
        return ValidationFailed({"expires_in": [most]})
    return None


def require_amount(*, channel: str, amount_minor: int, currency: str) -> None:
    """Raises `AmountNotSupported`."""
    refused = refusal(channel=channel, amount_minor=amount_minor, currency=currency)
    if refused is not None:
        raise refused

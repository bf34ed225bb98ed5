"""The reasons of reviews: stored as a message with its values, and shown in the reader's language.

`payment_reviews.text` is the English text, for the terminal and the audit log. Pages format the message again, with
amounts as the reader's language writes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from channels.base import PaymentState
from common.money import EXPONENTS, to_major_text
from gateway.models import DisputeReason, DisputeStatus, PaymentReview, PaymentStatus
from orders.models import OrderStatus

FormatAmount = Callable[[int, str], str]


class ReviewMessage(TextChoices):
    """The label is the text, in which `%(name)s` stands for a value of the reason."""

    REPORTED_DIFFERENTLY = (
        "reported_differently",
        _(
            "The channel reports %(reported)s for %(reported_reference)s, and we requested %(requested)s for"
            " %(reference)s"
        ),
    )
    CAPTURED_OTHERWISE = "captured_otherwise", _("The channel took %(captured)s of %(requested)s")
    CAPTURES_DIFFER = (
        "captures_differ",
        _("The channel reports %(reported)s captured, and we know of %(known)s"),
    )
    CAPTURES_LOST = (
        "captures_lost",
        _("The channel reports “%(state)s” with %(reported)s captured, and we know of %(known)s"),
    )
    ENDED_AFTER_CAPTURE = (
        "ended_after_capture",
        _("The channel reports “%(state)s”, and we know of %(known)s captured"),
    )
    CAPTURE_UNCLEAR = (
        "capture_unclear",
        _("The channel reports “%(state)s” with %(reported)s captured, and we requested %(requested)s"),
    )
    LATE_PAYMENT = "late_payment", _("Paid after the payment was %(status)s")
    DUPLICATE_PAYMENT = (
        "duplicate_payment",
        _("Attempt %(number)s at %(channel)s was paid after a later attempt had replaced it"),
    )
    HELD_FUNDS = "held_funds", _("The channel holds money for %(reference)s")
    UNKNOWN_FUNDS = "unknown_funds", _("It is not known what the channel holds for %(reference)s")
    LATE_PAYMENT_NOT_REFUNDED = "late_payment_not_refunded", _("The late payment was not refunded")
    LATE_REFUND_FAILED = (
        "late_refund_failed",
        _("The late payment could not be refunded: %(detail)s"),
    )
    REFUND_BLOCKED = "refund_blocked", _("Refund %(refund_no)s: %(detail)s")
    REFUND_UNDECIDED = (
        "refund_undecided",
        _("The channel has reported no outcome of refund %(refund_no)s for %(days)s days"),
    )
    REFUND_AFTER_ALL = (
        "refund_after_all",
        _(
            "Refund %(refund_no)s is failed here, and the channel reports it as succeeded: %(excess)s more than was"
            " left to refund"
        ),
    )
    REFUND_BEYOND = (
        "refund_beyond",
        _(
            "%(channel)s refunded %(amount)s (%(channel_refund_no)s), and only %(left)s of %(payment_no)s was left to"
            " refund: in suspense"
        ),
    )
    SECOND_REFUND_BEYOND = (
        "second_refund_beyond",
        _(
            "%(channel)s refunded %(amount)s (%(channel_refund_no)s, a second refund for %(refund_no)s), and only"
            " %(left)s of %(payment_no)s was left to refund: in suspense"
        ),
    )
    SECOND_REFUND = (
        "second_refund",
        _(
            "%(channel)s made a second refund for %(refund_no)s (%(channel_refund_no)s): booked as %(booked_as)s"
        ),
    )
    PAYMENT_UNDECIDED = (
        "payment_undecided",
        _("The channel still reports no outcome, long after the payment expired"),
    )
    CANCEL_REFUSED = (
        "cancel_refused",
        _("The channel refused %(count)s times to end the expired payment"),
    )
    DISPUTED = "disputed", _("Disputed at %(channel)s (%(reason)s): %(amount)s, %(status)s")
    DISPUTE_EXCESS = (
        "dispute_excess",
        _(
            "Dispute %(dispute_no)s took %(withdrawn)s, and %(excess)s of it is more than the payment holds: in"
            " suspense"
        ),
    )
    PAYMENT_ADOPTED = (
        "payment_adopted",
        _(
            "%(channel)s lists this payment (%(channel_trade_no)s), and the database restored to %(restored_to)s does"
            " not have it. %(remark)sNot known: subject, items, callback_url, return_url, customer, metadata and"
            " application fee"
        ),
    )
    ORDER_NUMBER_UNKNOWN = "order_number_unknown", _("Its order number is not known either. ")
    ORDER_OF_OTHER_PAYMENT = (
        "order_of_other_payment",
        _(
            "Its order %(order_no)s belongs to payment %(payment_no)s by now: perhaps the merchant repeated its request"
            " after the restore, and the customer pays twice. "
        ),
    )
    ORDER_TAKEN = (
        "order_taken",
        _(
            "Its order %(order_no)s is another one with the status “%(status)s” by now: perhaps the merchant repeated"
            " its request after the restore, and the customer pays twice. "
        ),
    )
    ATTEMPT_ADOPTED = (
        "attempt_adopted",
        _(
            "%(channel)s lists attempt %(number)s (%(channel_trade_no)s), which the database restored to"
            " %(restored_to)s does not have. Its application fee is not known"
        ),
    )
    REFUND_ADOPTED = (
        "refund_adopted",
        _(
            "%(channel)s made %(refund_no)s (%(channel_refund_no)s), which our database does not have since it was"
            " restored. Not known: its requester and its reason"
        ),
    )
    MONEY_SINCE_RESTORE = (
        "money_since_restore",
        _(
            "%(channel)s has money for %(reference)s, which the database restored to %(restored_to)s has as unpaid. It"
            " may have been refunded in the lost time: compare with the refunds at %(channel)s before you refund it"
        ),
    )


_CHANNEL_STATES: Final[Mapping[str, Promise]] = {
    PaymentState.OPEN: _("still open"),
    PaymentState.PROCESSING: _("being processed"),
    PaymentState.APPROVED: _("approved by the customer"),
    PaymentState.AUTHORIZED: _("authorized"),
    PaymentState.PAID: _("paid"),
    PaymentState.DECLINED: _("declined"),
    PaymentState.CANCELLED: _("cancelled"),
}
_STATUSES: Final[Mapping[str, type[TextChoices]]] = {
    each.__name__: each for each in (PaymentStatus, DisputeReason, DisputeStatus, OrderStatus)
}


@dataclass(frozen=True, slots=True)
class ReviewReason:
    """`values` are JSON: texts, numbers, and what the functions below return."""

    message: ReviewMessage
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The English text, with amounts such as `1234.50 USD`."""
        with override("en"):
            return _format(self.message, self.values, _format_plainly)


def amount_value(amount_minor: int, currency: str) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": currency}


def status_value(status: PaymentStatus | DisputeReason | DisputeStatus | OrderStatus) -> dict[str, Any]:
    return {"status": status.value, "type": type(status).__name__}


def state_value(state: PaymentState) -> dict[str, Any]:
    return {"state": state.value}


def reason_value(reason: ReviewReason | None) -> Any:
    """A remark inside another reason."""
    return {"message": reason.message.value, "values": dict(reason.values)} if reason is not None else ""


def describe_review(review: PaymentReview, format_amount: FormatAmount) -> str:
    """Returns the reason in the reader's language; the stored text when its message is not known, or needs other
    values by now."""
    try:
        return _format(ReviewMessage(review.message), review.message_values, format_amount)
    except (KeyError, ValueError):
        return review.text


def _format(message: ReviewMessage, values: Mapping[str, Any], format_amount: FormatAmount) -> str:
    shown = {name: _format_value(value, format_amount) for name, value in values.items()}
    return str(message.label) % shown


def _format_value(value: Any, format_amount: FormatAmount) -> str:
    match value:
        case {"amount_minor": amount_minor, "currency": currency} if currency in EXPONENTS:
            return format_amount(amount_minor, currency)
        case {"amount_minor": amount_minor, "currency": currency}:
            # A channel may report a currency that we do not know, and so its decimals.
            return f"{amount_minor} {currency} (minor units)"
        case {"status": status, "type": kind}:
            return str(_STATUSES[kind](status).label).lower()
        case {"state": state}:
            return str(_CHANNEL_STATES[state])
        case {"message": message, "values": values}:
            return _format(ReviewMessage(message), values, format_amount)
    return str(value)


def _format_plainly(amount_minor: int, currency: str) -> str:
    return f"{to_major_text(amount_minor, currency)} {currency}"

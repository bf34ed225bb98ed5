"""Failure codes of payments and refunds, with what each means. docs/ERRORS.md repeats the table.

A code of a channel's own, which is not in the table, is passed on as it is: Stripe and PayPal have many.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

FAILURE_LABELS: Mapping[str, Promise] = {
    # The customer and the card
    "account_blocked": _("The customer's account at the channel is blocked."),
    "authentication_required": _("The bank requires the customer's confirmation."),
    "card_blocked": _("The card is blocked."),
    "card_declined": _("The bank declined the card."),
    "customer_account_unusable": _("The customer's account at the channel cannot be used."),
    "expired_card": _("The card has expired."),
    "insufficient_funds": _("The account has insufficient funds."),
    "invalid_card": _("The card's data are wrong."),
    "payment_declined": _("The channel declined the payment."),
    "suspected_fraud": _("The payment is suspected of fraud."),
    # The channel, or the merchant's account at it
    "acquirer_unavailable": _("The channel's bank cannot take payments at the moment."),
    "channel_error": _("The channel did not answer in time."),
    "channel_limit": _("A limit of the account at the channel is reached."),
    "payment_method_not_available": _("The account at the channel cannot take payments with this method."),
    "payment_refused": _("The channel refused the payment for reasons of its own."),
    # The payment itself
    "amount_not_supported": _("The channel does not take this amount."),
    "amount_too_large": _("The amount is too large for the channel."),
    "amount_too_small": _("The amount is too small for the channel."),
    "approval_lapsed": _("The customer's approval ended before the payment was completed."),
    "authorization_gone": _("The authorization has ended."),
    "cancelled_at_channel": _("The channel has cancelled the payment."),
    "capture_not_supported": _("The channel takes the money at once: there is nothing to capture."),
    "channel_request_invalid": _("The channel refused our request as invalid."),
    "currency_not_supported": _("The channel does not take this currency."),
    "deadline_passed": _("The channel did not answer before the deadline of the payment."),
    "forbidden_text": _("The subject has a word that the channel forbids."),
    "incremental_authorization_unavailable": _("The authorization of this payment cannot be incremented."),
    "manual_capture_not_supported": _("The channel has no authorization."),
    "multicapture_unavailable": _("This payment can be captured once."),
    "not_authorized": _("The channel has authorized nothing for this payment."),
    "outcome_unknown": _("The outcome at the channel could not be found out."),
    "payment_processing": _("The channel is processing the customer's payment: it cannot be cancelled now."),
    "resolved_by_staff": _("Staff of the platform have closed it."),
    "retries_exhausted": _("All attempts to reach the channel failed."),
    "saved_customer_unavailable": _(
        "The merchant needs a channel account of its own to charge a saved customer."
    ),
    # Refunds
    "balance_insufficient": _(
        "The merchant's balance at the channel is too low: top it up and refund again."
    ),
    "not_captured": _("The channel has captured no money of the payment that could be refunded."),
    "nothing_to_refund": _("The channel holds no money of the payment that could be refunded."),
    "pending_capture": _("The customer's money has not arrived yet: refund it later."),
    "refund_abnormal": _("The customer's card takes no refund: refund to another card at the channel."),
    "refund_closed": _("The channel has closed the refund; the money stayed with the merchant."),
    "refund_declined": _("The channel declined the refund."),
    "refund_failed": _("The customer's bank returned the money."),
    "refund_not_allowed": _("The channel does not allow this refund."),
    "refund_refused": _("A rule of the channel forbids this refund."),
    "refund_returned": _("The customer's bank returned the money after the refund."),
    "refund_window_closed": _("The channel no longer refunds this payment: it was paid too long ago."),
    # Responses to disputes
    "dispute_closed": _("The dispute is closed at the channel and takes no response."),
}


def describe_failure(code: str, message: str) -> str:
    """For staff: what the code means, the code, and the channel's own text."""
    label = FAILURE_LABELS.get(code)
    return " ".join(filter(None, (str(label) if label else "", f"[{code}]", message)))

"""The words for what staff did."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.availability import Operation

WORDS: dict[str, str | Promise] = {
    **{f"saga.{operation.value}": operation.label for operation in Operation},
    "refund.create": _("Refund by staff"),
    "approval.request": _("Second person asked for"),
    "approval.approve": _("Approved by the second person"),
    "approval.reject": _("Rejected by the second person"),
}


def action_word(action: str) -> str | Promise:
    """What nobody has a word for yet is shown as it is called."""
    return WORDS.get(action, action)

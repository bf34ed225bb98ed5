"""What came of a step, or was done by a person, in words."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.availability import Operation

OUTCOMES: dict[str, str | Promise] = {
    "success": _("Succeeded"),
    "failure": _("Failed for good"),
    "transient": _("Did not happen, may be tried again"),
    "unknown": _("Outcome not known"),
    "notfound": _("The other side has never heard of it"),
    "honoured": _("It had succeeded for good"),
    "undecidable": _("A person must decide"),
    **{operation.value: operation.label for operation in Operation},
}


def outcome_word(outcome: str) -> str | Promise:
    return OUTCOMES.get(outcome, outcome)

"""Labels of the outcomes of steps and of operations by staff, for pages and terminals."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.availability import Operation

OUTCOME_LABELS: dict[str, str | Promise] = {
    "success": _("Succeeded"),
    "failure": _("Failed for good"),
    "transient": _("Did not happen, may be tried again"),
    "unknown": _("Outcome not known"),
    "notfound": _("The other side has never heard of it"),
    "honoured": _("It had succeeded for good"),
    "undecidable": _("A person must decide"),
    **{operation.value: operation.label for operation in Operation},
}


def outcome_label(outcome: str) -> str | Promise:
    return OUTCOME_LABELS.get(outcome, outcome)

"""Labels of the outcomes of steps and of operations by staff, for pages and terminals."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sagas.availability import Operation

OUTCOME_LABELS: dict[str, str | Promise] = {
    "success": _("Succeeded"),
    "failure": _("Failed for good"),
    "transient": _("Did not happen, can be retried"),
    "unknown": _("Outcome unknown"),
    "notfound": _("Not found in the other system"),
    "honoured": _("Had already succeeded"),
    "undecidable": _("Needs review"),
    **{operation.value: operation.label for operation in Operation},
}


def outcome_label(outcome: str) -> str | Promise:
    return OUTCOME_LABELS.get(outcome, outcome)

"""The details of a settlement case in the reader's language. Matching stores them as values, in SQL."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from common.admin_labels import label_of
from settlements.models import LineKind


def describe_case_detail(detail: Mapping[str, Any]) -> list[str]:
    """Returns a text for each value, in a fixed order. Unknown values are left out."""
    texts = []
    if "line_kind" in detail:
        texts.append(str(label_of(LineKind, detail["line_kind"])))
    if "line_count" in detail:
        texts.append(_("Lines: %(count)s") % {"count": detail["line_count"]})
    if "expectation_count" in detail:
        texts.append(_("Expectations: %(count)s") % {"count": detail["expectation_count"]})
    if detail.get("channel_no"):
        texts.append(_("Channel's number: %(number)s") % {"number": detail["channel_no"]})
    texts += [
        _("Write-off requested by %(person)s, withdrawn when a statement was voided") % {"person": person}
        for person in detail.get("withdrawn_write_offs", ())
    ]
    return texts

"""The parts of an object's page (`templates/backoffice/object_page.html`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

ICONS = {
    "success": "check_circle",
    "danger": "cancel",
    "warning": "warning",
    "info": "schedule",
    "neutral": "circle",
}


@dataclass(frozen=True, slots=True)
class StatusBadge:
    text: str
    tone: str

    @property
    def icon(self) -> str:
        return ICONS[self.tone]


@dataclass(frozen=True, slots=True)
class PageFact:
    """`is_code`: the value is written as machines write it, with a button to copy it. `is_name`: a text of people."""

    label: str
    text: str
    url: str = ""
    is_code: bool = False
    is_name: bool = False


@dataclass(frozen=True, slots=True)
class PageNote:
    """A line below the heading, such as why a refund failed. `detail` is a text of people or of a channel."""

    text: str
    detail: str = ""
    tone: str = "neutral"


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A request or an answer, as it was sent."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty_text: str = ""
    links: Sequence[str] = ()  # of the first cell of each row
    note: str = ""

    @property
    def linked_rows(self) -> list[tuple[str, Sequence[str]]]:
        return list(zip(self.links or [""] * len(self.rows), self.rows, strict=True))


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """`heading` is the amount, or the name. `is_test` marks objects of the test environment."""

    heading: str
    state: StatusBadge
    is_test: bool = False
    notes: Sequence[PageNote] = ()
    facts: Sequence[PageFact] = ()
    amounts: Sequence[tuple[str, str]] = ()
    panels: Sequence[Panel] = ()
    blocks: Sequence[TextBlock] = ()


def build_merchant_fact(merchant_id: UUID, name: str) -> PageFact:
    """The merchant of an object, with a link to its page."""
    return PageFact(
        _("merchant"), name, reverse("admin:merchants_merchant_change", args=[merchant_id]), is_name=True
    )

"""Why the engine stops a saga for review. `attention_reason` keeps the English text; pages show it in the reader's
language. A reason that a step gives with `NeedsReview` is shown as it is."""

import re
from typing import Final

from django.utils.translation import gettext, gettext_noop

CLAIMED_WITHOUT_PROGRESS: Final = gettext_noop("claimed %(count)s times without progress")
PAST_PIVOT: Final = gettext_noop("past the pivot: %(reason)s")
COMPENSATION_FAILED: Final = gettext_noop("compensation of %(step)s failed: %(reason)s")
UNKNOWN_DEFINITION: Final = gettext_noop("no definition %(definition)s version %(version)s")

_PATTERNS: Final = {
    text: re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.*?)", re.escape(text)), re.DOTALL)
    for text in (CLAIMED_WITHOUT_PROGRESS, PAST_PIVOT, COMPENSATION_FAILED, UNKNOWN_DEFINITION)
}


def describe_stop_reason(reason: str) -> str:
    for text, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(reason):
            return gettext(text) % found.groupdict()
    return reason

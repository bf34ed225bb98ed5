"""Failures on pages of staff: the meaning in the reader's language, then the code and the text of the channel."""

import pytest
from django.utils import translation

from backoffice.renderers.failures import SAGA_FAILURE_LABELS, show_failure
from gateway.failure_codes import FAILURE_LABELS


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        (
            "card_blocked",
            "Lost <card>.",
            "该卡已被冻结。 <samp>card_blocked</samp> · <samp>Lost &lt;card&gt;.</samp>",
        ),
        ("cancel_requested", "", "已申请取消。 <samp>cancel_requested</samp>"),
        ("do_not_honour", "No.", "<samp>do_not_honour</samp> · <samp>No.</samp>"),
    ],
)
def test_a_failure_in_chinese(code: str, message: str, shown: str) -> None:
    with translation.override("zh-hans"):
        assert show_failure(code, message) == shown


def test_codes_of_the_api_have_one_meaning() -> None:
    assert not set(SAGA_FAILURE_LABELS) & set(FAILURE_LABELS)

"""Every failure code that WeChat Pay, Alipay or a saga can cause is documented and translated."""

import ast
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from channels.alipay import errors as alipay_errors
from channels.stripe import errors as stripe_errors
from channels.wechat import errors as wechat_errors
from channels.wechat import refunds as wechat_refunds
from gateway.failure_codes import FAILURE_LABELS, describe_failure
from gateway.services.routing.success_rates import CHANNEL_FAILURE_CODES

ALIPAY = {*alipay_errors._DECLINES.values(), *alipay_errors._FAILOVER_DECLINES.values()}
WECHAT = {
    *(code for code, _can_fail_over in wechat_errors._DECLINES.values()),
    *(code for code, _message in wechat_refunds._FAILURES.values()),
}
# Codes of Stripe and PayPal, which document them.
OF_OTHER_CHANNELS = {
    "issuer_not_available",
    "payee_account_invalid",
    "payee_account_locked_or_closed",
    "payee_account_restricted",
    "processing_error",
    "reenter_transaction",
    "try_again_later",
}


def find_literals(folder: str, result: str) -> set[str]:
    """Returns the codes that the modules of a folder pass to this kind of result."""
    codes = set()
    for file in Path(settings.BASE_DIR, folder).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == result:
                first = node.args[0]
                codes |= {first.value} if isinstance(first, ast.Constant) else set()
    return {str(code) for code in codes}


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_the_codes_that_a_channel_names(channel: str) -> None:
    found = find_literals(f"channels/{channel}", "Declined")
    assert {"currency_not_supported", "nothing_to_refund"} <= found
    assert found <= set(FAILURE_LABELS)


@pytest.mark.parametrize("channel", ["paypal", "stripe"])
def test_our_own_codes_of_channels_that_document_theirs(channel: str) -> None:
    found = find_literals(f"channels/{channel}", "Declined")
    assert found
    assert found <= set(FAILURE_LABELS)


def test_the_codes_of_flows() -> None:
    found = find_literals("gateway/flows", "Failure") - {"unknown"}
    assert "authorization_gone" in found
    assert found | {"approval_lapsed", "resolved_by_staff"} <= set(FAILURE_LABELS)


def test_the_codes_of_tables() -> None:
    assert ALIPAY | WECHAT | set(stripe_errors._PORT_CODES.values()) <= set(FAILURE_LABELS)
    assert set(CHANNEL_FAILURE_CODES) - OF_OTHER_CHANNELS <= set(FAILURE_LABELS)


def test_every_code_is_translated() -> None:
    with translation.override("en"):
        english = {code: str(label) for code, label in FAILURE_LABELS.items()}
    with translation.override("zh-hans"):
        chinese = {code: str(label) for code, label in FAILURE_LABELS.items()}
    assert not [code for code in FAILURE_LABELS if chinese[code] == english[code]]


def test_an_undocumented_code_of_a_channel_is_shown_unchanged() -> None:
    with translation.override("en"):
        assert describe_failure("do_not_honour", "No.") == "[do_not_honour] No."
        assert describe_failure("card_blocked", "") == "The card is blocked. [card_blocked]"

"""What the customer does next, as it is stored with a payment and shown in the API."""

from dataclasses import asdict
from typing import Any, assert_never

from channels.base import ActionType, FormAction, NextAction, QrCodeAction, RedirectAction, SdkAction
from common.clock import rfc3339


def describe_next_action(action: NextAction | None) -> dict[str, Any] | None:
    """Describes the action as JSON: its `type`, and the values of that type."""
    match action:
        case None:
            return None
        case RedirectAction():
            return {"type": ActionType.REDIRECT.value, **asdict(action)}
        case QrCodeAction(content, expires_at):
            return {
                "type": ActionType.QR_CODE.value,
                "content": content,
                "expires_at": rfc3339(expires_at),
            }
        case SdkAction(params):
            return {"type": ActionType.SDK.value, "params": dict(params)}
        case FormAction(url, fields):
            return {"type": ActionType.FORM.value, "url": url, "fields": dict(fields)}
        case _ as never:
            assert_never(never)

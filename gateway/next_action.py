"""The customer's next action, as it is stored with a payment and shown in the API."""

import datetime as dt
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


def read_next_action(stored: dict[str, Any] | None) -> NextAction | None:
    """Reads what `describe_next_action` described."""
    match stored:
        case None:
            return None
        case {"type": ActionType.REDIRECT, "url": url}:
            return RedirectAction(url)
        case {"type": ActionType.QR_CODE, "content": content, "expires_at": expires_at}:
            return QrCodeAction(content, dt.datetime.fromisoformat(expires_at) if expires_at else None)
        case {"type": ActionType.SDK, "params": params}:
            return SdkAction(params)
        case {"type": ActionType.FORM, "url": url, "fields": fields}:
            return FormAction(url, fields)
    raise ValueError(f"not a next action: {stored.get('type')}")

"""The customer's next action to pay."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class ActionType(enum.StrEnum):
    REDIRECT = "redirect"
    QR_CODE = "qr_code"
    SDK = "sdk"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class RedirectAction:
    """The browser goes to a page of the channel."""

    url: str


@dataclass(frozen=True, slots=True)
class QrCodeAction:
    """The customer scans a code that holds `content` with the channel's app."""

    content: str
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class SdkAction:
    """The shop's page or app passes `params` to the channel's own client library."""

    params: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FormAction:
    """The browser posts `fields` to a page of the channel."""

    url: str
    fields: Mapping[str, str] = field(repr=False)


NextAction = RedirectAction | QrCodeAction | SdkAction | FormAction

"""What the HTTP server hands to its parts, and what they give back."""

import enum
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """`url` is the path with its query as the client sent it; header names are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.url.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.url.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class SandboxAnswer:
    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class HangUp(enum.Enum):
    """The connection ends without an answer."""

    CLOSE = "close"
    RESET = "reset"

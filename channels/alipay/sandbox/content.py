"""Reads fields of biz_content. Raises Refusal that names the field."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from channels.alipay.sandbox.refusals import invalid_field

Content = Mapping[str, object]


def read_text(content: Content, name: str, *, longest: int) -> str:
    """Returns "" when the field is absent."""
    value = content.get(name, "")
    if not isinstance(value, str):
        raise invalid_field(name, "应为字符串")
    if len(value) > longest:
        raise invalid_field(name, f"最大长度 {longest}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid_field(name, "含有无效字符")
    return value


def read_address(content: Content, name: str) -> str:
    """notify_url, return_url and quit_url: http or https, at most 256 characters (common parameters)."""
    value = read_text(content, name, longest=256)
    if value and not _is_web_address(value):
        raise invalid_field(name, "应为 http/https 开头的地址")
    return value


def _is_web_address(text: str) -> bool:
    """Printable ASCII only, because it becomes a header of an answer."""
    if not all("!" <= character <= "~" for character in text):
        return False
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)

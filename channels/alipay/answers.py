"""Takes apart the answers of Alipay's gateway and verifies them.

    {"alipay_trade_query_response": {"code": "10000", …}, "sign": "…"}

The signature covers the inner object exactly as it is written (opendocs.alipay.com/common/02mse7): it is cut out of the
text and never written again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from channels.alipay import signing
from channels.alipay.fields import AlipayFields, read_text
from channels.base import UnexpectedFormat

ERROR_NAME = "error_response"  # of an error of the gateway itself


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """`code` and `sub_code`: opendocs.alipay.com/open/common/105806."""

    code: str
    sub_code: str
    sub_message: str
    fields: AlipayFields
    is_verified: bool

    @property
    def is_success(self) -> bool:
        return self.code == "10000"


def read_answer(body: bytes, method: str, public_keys: Sequence[str]) -> GatewayAnswer:
    """Reads the answer to a call of `method`. Raises `UnexpectedFormat`."""
    try:
        members = list(_read_members(body.decode()))
    except (ValueError, RecursionError) as error:
        raise UnexpectedFormat("the answer is not JSON in UTF-8") from error
    by_name = {name: (raw, value) for name, raw, value in members}
    if len(by_name) != len(members):
        raise UnexpectedFormat("the answer has a name twice")
    name = f"{method.replace('.', '_')}_response"
    raw, fields = by_name.get(name) or by_name.get(ERROR_NAME) or ("", None)
    if not isinstance(fields, dict):
        raise UnexpectedFormat(f"the answer has no {name}")
    _raw, signature = by_name.get("sign", ("", ""))
    is_verified = isinstance(signature, str) and signing.is_signed(raw.encode(), signature, public_keys)
    return GatewayAnswer(
        code=read_text(fields, "code"),
        sub_code=str(fields.get("sub_code") or ""),
        sub_message=str(fields.get("sub_msg") or fields.get("msg") or ""),
        fields=fields,
        is_verified=is_verified,
    )


def _read_members(text: str) -> Iterator[tuple[str, str, Any]]:
    """Yields the members of the outer object: name, value as it is written, value. Raises `ValueError`."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
    position = _skip(text, 0, "{")
    while True:
        name, position = decoder.raw_decode(text, position)
        start = _skip(text, position, ":")
        value, position = decoder.raw_decode(text, start)
        if not isinstance(name, str):
            raise ValueError("the name of a member is not text")
        yield name, text[start:position], value
        position = _skip_space(text, position)
        if text[position : position + 1] == "}":
            break
        position = _skip(text, position, ",")
    if text[position + 1 :].strip():
        raise ValueError("text after the end")


def _skip(text: str, position: int, expected: str) -> int:
    """Returns the position after `expected` and the space around it."""
    position = _skip_space(text, position)
    if text[position : position + 1] != expected:
        raise ValueError(f"{expected} is missing")
    return _skip_space(text, position + 1)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

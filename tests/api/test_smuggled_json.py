"""JSON that two programs may read differently, so that one program accepts a request that the other one executes
otherwise."""

import json

import pytest

from common.api.parsers import MAX_DEPTH, parse_json
from common.errors import MalformedBody

PAYMENT = '{"amount": 100}'
AMBIGUOUS: dict[str, bytes] = {
    "the same name twice": b'{"amount": 1, "amount": 100}',
    "the same name, once escaped": b'{"amount": 1, "\\u0061mount": 100}',
    "the same name twice, deeper": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    "the empty name twice": b'{"": 1, "": 2}',
    "two documents": b'{"amount": 1}{"amount": 100}',
    "two documents on two lines": b'{"amount": 1}\n{"amount": 100}',
    "a line comment": b'{"amount": 1 // 100\n}',
    "a comment": b'{"amount": /* 1 */ 100}',
    "a shell comment": b'{"amount": 1} # 100',
    "a comma at the end": b'{"amount": 100,}',
    "a comma at the end of a list": b'{"items": [1,]}',
    "a name without quotes": b"{amount: 100}",
    "single quotes": b"{'amount': 100}",
    "a plus": b'{"amount": +100}',
    "a hexadecimal number": b'{"amount": 0x64}',
    "an octal number": b'{"amount": 0144}',
    "digits in groups": b'{"amount": 1_00}',
    "no digit after the point": b'{"amount": 100.}',
    "no digit before the point": b'{"amount": .5}',
    "an exponent without digits": b'{"amount": 1e}',
    "wide digits": '{"amount": １００}'.encode(),
    "not a number": b'{"amount": NaN}',
    "infinity": b'{"amount": Infinity}',
    "negative infinity": b'{"amount": [-Infinity]}',
    "too many digits": b'{"amount": ' + b"1" * 5_000 + b"}",
    "a line end in a text": b'{"a": "x\ny"}',
    "a control character in a text": b'{"a": "x\x01y"}',
    "an unknown escape": b'{"a": "\\x41"}',
    "an escape in braces": b'{"a": "\\u{41}"}',
    "an escape with three digits": b'{"a": "\\u041"}',
    "an escape with a sign": b'{"a": "\\u+041"}',
    "half of a surrogate pair": b'{"a": "\\ud800"}',
    "a surrogate pair in the wrong order": b'{"a": "\\udc00\\ud800"}',
    "NUL": b'{"a": "\\u0000"}',
    "NUL in a name": b'{"a\\u0000b": 1}',
    "NUL after the document": b'{"amount": 100}\0',
    "a byte order mark": b"\xef\xbb\xbf" + PAYMENT.encode(),
    "UTF-16 with its mark": PAYMENT.encode("utf-16"),
    "UTF-16, little endian": PAYMENT.encode("utf-16-le"),
    "UTF-16, big endian": PAYMENT.encode("utf-16-be"),
    "UTF-32": PAYMENT.encode("utf-32"),
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "an overlong quote of two bytes": b'{"a": "x\xc0\xa2, \xc0\xa2b": 1}',
    "an overlong slash of three bytes": b'{"a": "\xe0\x80\xaf"}',
    "an overlong NUL of four bytes": b'{"a": "\xf0\x80\x80\x80"}',
    "a surrogate pair in UTF-8 (CESU-8)": b'{"a": "\xed\xa0\xbd\xed\xb8\x80"}',
    "a character above U+10FFFF": b'{"a": "\xf4\x90\x80\x80"}',
    "half a character": b'{"a": "\xe6\xb5"}',
    "a lone continuation byte": b'{"a": "\x80"}',
    "deeper than the limit": b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
    "far deeper than the limit": b"[" * 200_000,
    "a vertical tab as space": b'{"amount":\x0b100}',
    "a no-break space as space": '{"amount":\u00a0100}'.encode(),
    "nothing but space": b" \n ",
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_it_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody) as refused:
        parse_json(body)
    assert refused.value.details


def test_each_unambiguous_form_is_read() -> None:
    """Shows that the documents above are refused for their ambiguity only. The largest depth and the largest character
    are valid."""
    assert parse_json(PAYMENT.encode()) == {"amount": 100}
    assert parse_json(b'\t\r\n {"a" : "\\u00e9\\ud83d\\ude00"} ') == {"a": "é😀"}
    assert parse_json('{"a": "\U0010ffff\u2028"}'.encode()) == {"a": "\U0010ffff\u2028"}
    deepest = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert parse_json(deepest) == json.loads(deepest)

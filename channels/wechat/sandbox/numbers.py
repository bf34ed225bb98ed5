"""Numbers in WeChat Pay's form, as the examples of its documentation show them."""

import secrets
import string

from channels.wechat.sandbox.clock import to_beijing

_ALPHANUMERIC = string.ascii_letters + string.digits


def make_transaction_id(at: float) -> str:
    """28 digits: 4200000008201712143733500001."""
    return f"42000{_digits(5)}{to_beijing(at):%Y%m%d}{_digits(10)}"


def make_refund_id(at: float) -> str:
    """29 digits: 50000305742018020103387128253."""
    return f"5030{_digits(7)}{to_beijing(at):%Y%m%d}{_digits(10)}"


def make_platform_refund_no(at: float) -> str:
    """The out_refund_no of a refund that was made in the merchant platform."""
    return f"{to_beijing(at):%Y%m%d%H%M%S}{_digits(8)}"


def make_prepay_id(at: float) -> str:
    """36 characters: wx201410272009395522657a690389285100."""
    return f"wx{to_beijing(at):%Y%m%d%H%M%S}{secrets.token_hex(10)}"


def make_link_token() -> str:
    """Nine characters, as in weixin://wxpay/bizpayurl?pr=JyC91EIz1."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(9))


def make_openid() -> str:
    return "o" + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(27))


def make_event_id() -> str:
    """An id such as EV-2018022511223320873."""
    return f"EV-{_digits(19)}"


def _digits(count: int) -> str:
    return str(secrets.randbelow(10**count)).zfill(count)

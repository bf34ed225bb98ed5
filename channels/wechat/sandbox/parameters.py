"""Reads the parameters of a request, and refuses wrong ones with PARAM_ERROR in WeChat Pay's words.

The form of the text is the one that merchants quote: github.com/Javen205/IJPay/issues/79.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from channels.wechat.sandbox.errors import SandboxApiError, param_error

# 下单, out_trade_no: "要求6-32个字符内，只能是数字、大小写字母_-|*": docs/merchant/products/native-payment/apilist.html
OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}", re.ASCII)
# 申请退款, out_refund_no: "只能是数字、大小写字母_-|*@", 64 characters: doc/v3/merchant/4012556457
OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)
# "通知url必须为外网可访问的url，不能携带参数". The sandbox also takes http and addresses that are not public.
NOTIFY_URL = re.compile(r"https?://[^\s?#]+", re.ASCII)


class Parameters:
    """The values of a body, a query or a part of them; `label` is the name of a field in the documentation."""

    def __init__(self, location: str, values: Mapping[str, Any], prefix: str = "") -> None:
        self._location = location
        self._values = values
        self._prefix = prefix

    def refuse(self, name: str, label: str, issue: str) -> SandboxApiError:
        return param_error(
            self._location, self._prefix + name, f"映射到字段“{label}”{issue}", self._shown(name)
        )

    def _shown(self, name: str) -> object:
        value = self._values.get(name)
        return value if isinstance(value, str | int) else None

    def read_text(
        self,
        name: str,
        label: str,
        *,
        max_length: int,
        is_required: bool = True,
        pattern: re.Pattern[str] | None = None,
    ) -> str:
        """The text; empty if it is optional and missing."""
        value = self._values.get(name)
        if value is None or value == "":
            if is_required:
                raise self.refuse(name, label, "必填性规则校验失败，此字段为必填项")
            return ""
        if not isinstance(value, str):
            raise self.refuse(name, label, "类型校验失败，应为字符串")
        if len(value) > max_length:
            raise self.refuse(name, label, f"字符串规则校验失败，长度 {len(value)}，大于最大值 {max_length}")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.refuse(name, label, "字符串规则校验失败，格式不正确")
        return value

    def read_fen(self, name: str, label: str) -> int:
        """An amount: "单位为分，只能为整数", at least 1."""
        value = self._values.get(name)
        if value is None:
            raise self.refuse(name, label, "必填性规则校验失败，此字段为必填项")
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(name, label, "类型校验失败，应为整数")
        if not 0 < value < 2**63:
            raise self.refuse(name, label, "数值规则校验失败，应大于 0")
        return value

    def read_currency(self, *, is_required: bool) -> None:
        """ "CNY：人民币，境内商户号仅支持人民币"."""
        value = self.read_text("currency", "货币类型", max_length=16, is_required=is_required)
        if value not in ("", "CNY"):
            raise self.refuse("currency", "货币类型", "枚举值校验失败，仅支持 CNY")

    def read_section(self, name: str, label: str, *, is_required: bool = True) -> "Parameters":
        value = self._values.get(name)
        if value is None and not is_required:
            return Parameters(self._location, {}, f"{self._prefix}{name}/")
        if value is None:
            raise self.refuse(name, label, "必填性规则校验失败，此字段为必填项")
        if not isinstance(value, dict):
            raise self.refuse(name, label, "类型校验失败，应为对象")
        return Parameters(self._location, value, f"{self._prefix}{name}/")


def parse_body(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # refuses half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise param_error("body", "", "不是合法的JSON") from error
    if not isinstance(value, dict):
        raise param_error("body", "", "应为JSON对象")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")

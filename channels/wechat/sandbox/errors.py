"""The errors that WeChat Pay answers: status, code and text as documented, or as merchants have quoted them.

Tables of codes: doc/v3/merchant/4012556398 (close), docs/merchant/apis/…/get-fund-flow-bill.html (bills),
wiki/doc/apiv3/apis/chapter3_4_3.shtml; of signatures: docs/partner/development/interface-rules/signature-faqs.html.
"""

from collections.abc import Mapping
from typing import Any


class SandboxApiError(Exception):
    """An answer other than success: `{"code": …, "message": …, "detail": …}`."""

    def __init__(self, status: int, code: str, message: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            body["detail"] = self.detail
        return body


def sign_error(message: str, detail: Mapping[str, Any] | None = None) -> SandboxApiError:
    return SandboxApiError(401, "SIGN_ERROR", message, detail)


def param_error(location: str, field: str, issue: str, value: object = None) -> SandboxApiError:
    """`field` is the path below `location` (body, query, path). The text has the form that the server uses."""
    detail: dict[str, Any] = {"location": location, "field": field, "issue": issue}
    if value is not None:
        detail["value"] = value
    return SandboxApiError(400, "PARAM_ERROR", f"输入源“/{location}/{field}”{issue}", detail)


def invalid_request(message: str) -> SandboxApiError:
    return SandboxApiError(400, "INVALID_REQUEST", message)


def order_not_exist() -> SandboxApiError:
    return SandboxApiError(404, "ORDER_NOT_EXIST", "订单不存在")


def resource_not_exists(message: str) -> SandboxApiError:
    return SandboxApiError(404, "RESOURCE_NOT_EXISTS", message)


def frequency_limited(message: str = "频率超限，请降低请求频率") -> SandboxApiError:
    return SandboxApiError(429, "FREQUENCY_LIMITED", message)


def system_error() -> SandboxApiError:
    return SandboxApiError(500, "SYSTEM_ERROR", "系统异常，请稍后重试")

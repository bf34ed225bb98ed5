"""Calls Alipay's gateway, and signs pages that the customer's browser opens there.

Public parameters and their signature are in the address, `biz_content` is in the body
(opendocs.alipay.com/common/057k53), for calls as for pages.
"""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from channels.alipay import signing
from channels.alipay.answers import GatewayAnswer, read_answer
from channels.alipay.config import AlipayCredentials
from channels.alipay.fields import to_beijing_text
from channels.base import FormAction
from common.deadlines import Deadline
from common.http_calls import AnswerLost, HttpAnswer, send_request

FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
MAX_STATEMENT_BYTES = 64 * 1024 * 1024  # zipped

BizContent = Mapping[str, Any]


class NotVerified(Exception):
    """Alipay did not sign the answer, or signed another one. `answer` may say why, and proves nothing."""

    def __init__(self, answer: GatewayAnswer) -> None:
        super().__init__(f"the answer {answer.code} {answer.sub_code} is not signed by Alipay")
        self.answer = answer


class Gateway:
    """One account's access to the gateway, for one operation: all its calls end at one deadline."""

    def __init__(self, credentials: AlipayCredentials, timeout_seconds: float) -> None:
        self._credentials = credentials
        self._deadline = Deadline(timeout_seconds)
        self.call_count = 0

    def call(self, method: str, biz_content: BizContent, *, notify_url: str = "") -> GatewayAnswer:
        """Returns an answer that Alipay has signed, an error included.

        Raises `NotConnected` when nothing was sent. Raises `AnswerLost`, `UnexpectedFormat` and `NotVerified` when the
        call may have had an effect.
        """
        url = self._build_url(method, biz_content, {"notify_url": notify_url}, dt.datetime.now(dt.UTC))
        self.call_count += 1
        answer = send_request(
            "POST",
            url,
            deadline=self._deadline,
            headers={"Content-Type": FORM_TYPE},
            body=urlencode(_build_form(biz_content)).encode(),
        )
        _refuse_status(answer)
        read = read_answer(answer.body, method, self._credentials.alipay_public_keys)
        if not read.is_verified:
            raise NotVerified(read)
        return read

    def build_page(
        self,
        method: str,
        biz_content: BizContent,
        *,
        notify_url: str,
        return_url: str,
        signed_at: dt.datetime,
    ) -> FormAction:
        """Signs a page that the customer's browser posts to Alipay. Makes no call; the same values give the same page.

        A form and not an address: the description of a purchase would make an address too long for some browsers, and
        what was signed stays out of histories and access logs. Our checkout page posts it only while the payment is
        open.
        """
        urls = {"notify_url": notify_url, "return_url": return_url}
        return FormAction(self._build_url(method, biz_content, urls, signed_at), _build_form(biz_content))

    def download(self, url: str) -> bytes:
        """Downloads a statement. Raises `AnswerLost`."""
        answer = send_request("GET", url, deadline=self._deadline, max_answer_bytes=MAX_STATEMENT_BYTES)
        _refuse_status(answer)
        return answer.body

    def _build_url(
        self, method: str, biz_content: BizContent, urls: Mapping[str, str], signed_at: dt.datetime
    ) -> str:
        parameters = {
            "app_id": self._credentials.app_id,
            "charset": "utf-8",
            "format": "JSON",
            "method": method,
            "sign_type": signing.SIGN_TYPE,
            "timestamp": to_beijing_text(signed_at),
            "version": "1.0",
            **{name: url for name, url in urls.items() if url},
        }
        signature = signing.sign({**parameters, **_build_form(biz_content)}, self._credentials.private_key)
        return f"{self._credentials.gateway_url}?{urlencode({**parameters, 'sign': signature})}"


def _build_form(biz_content: BizContent) -> dict[str, str]:
    return {"biz_content": json.dumps(biz_content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)}


def _refuse_status(answer: HttpAnswer) -> None:
    if answer.status != 200:
        raise AnswerLost(f"HTTP status {answer.status}")

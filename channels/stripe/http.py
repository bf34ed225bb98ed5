"""The HTTP client of Stripe's SDK: one deadline for all requests of an operation, no retries.

The SDK's own clients limit each read from the socket. With them, a server that sends a byte now and then would hold a
worker longer than its lease.
"""

from collections.abc import Mapping
from typing import Any

import stripe
from requests.structures import CaseInsensitiveDict

from common import http_calls
from common.deadlines import Deadline

# Added to the headers of each answer: an error means something else when it refuses a query (GET).
SENT_METHOD = "X-Sent-Method"


class StripeAnswerLost(stripe.APIConnectionError):
    """The request may have arrived; its answer did not."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]


class StripeNotConnected(StripeAnswerLost):
    """There was no connection: nothing was sent."""


class DeadlineClient(stripe.HTTPClient):
    name = "deadline"

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__()
        self._deadline = Deadline(timeout_seconds)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_more: Any
    ) -> tuple[Any, int, Mapping[str, str]]:
        try:
            answer = http_calls.send_request(
                method, url, deadline=self._deadline, headers=headers, body=post_data
            )
        except http_calls.NotConnected as error:
            raise StripeNotConnected(str(error)) from error
        except http_calls.AnswerLost as error:
            raise StripeAnswerLost(str(error)) from error
        sent_method = {SENT_METHOD: method.upper()}
        return answer.body, answer.status, CaseInsensitiveDict({**answer.headers, **sent_method})

    def close(self) -> None:
        """Keeps the connections: they belong to the thread."""

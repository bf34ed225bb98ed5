"""Sends a merchant's requests to the API and reads the answers.

payment = paid(client)                                        # an API body, of a payment that is paid
refused = error(refund(client, payment, 99_999), 422, "refund_exceeds_payment")
"""

import itertools
import json
import secrets
from typing import Any

from tests.support.signing import SignedClient, TestResponse

PAYMENTS, REFUNDS, ORDERS = "/api/v1/payments", "/api/v1/refunds", "/api/v1/orders"
Body = dict[str, Any]
_numbers = itertools.count(1)


def new_no(prefix: str = "ORDER") -> str:
    """An order number or key that no other test has used."""
    return f"{prefix}-{next(_numbers)}-{secrets.token_hex(5)}"


def payment_request(simulate: str = "", **changes: Any) -> Body:
    """The body of `POST /payments`. `simulate` scripts the bank's faults; a change to `...` leaves a field out."""
    body: Body = {
        "order_no": new_no(),
        "amount": 10_000,
        "currency": "USD",
        "channel": "simulator",
        "subject": "Coffee",
    }
    if simulate:
        body["metadata"] = {"simulate": simulate}
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


def order_request(**changes: Any) -> Body:
    body: Body = {"order_no": new_no(), "amount": 10_000, "currency": "USD", "subject": "Coffee", **changes}
    return {name: value for name, value in body.items() if value is not ...}


def data(answer: TestResponse, status: int = 200) -> Any:
    """Checks the envelope of a success and returns its `data`."""
    assert answer.status_code == status, (answer.status_code, answer.content.decode())
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Request-Id"]
    body = json.loads(answer.content)
    assert set(body) == {"code", "message", "data"}
    assert body["code"] == 0
    assert body["message"]
    return body["data"]


def error(answer: TestResponse, status: int, error_code: str) -> Body:
    """Checks the envelope of an error and returns its `details`."""
    assert answer.status_code == status, (answer.status_code, answer.content.decode())
    assert answer["Content-Type"] == "application/json"
    body = json.loads(answer.content)
    assert set(body) == {"code", "error", "error_code", "details", "request_id"}
    assert body["error_code"] == error_code, body
    assert type(body["code"]) is int
    assert body["code"] != 0
    assert body["error"]
    assert body["request_id"]
    assert answer["X-Request-Id"]
    details: Body = body["details"]
    return details


def create(
    client: SignedClient, simulate: str = "", *, key: str | None = None, **changes: Any
) -> TestResponse:
    return client.post(PAYMENTS, payment_request(simulate, **changes), idempotency_key=key)


def opened(client: SignedClient, simulate: str = "", **changes: Any) -> Body:
    """Creates a payment that waits for its customer."""
    payment: Body = data(create(client, simulate, **changes))
    assert payment["status"] == "pending"
    return payment


def paid(client: SignedClient, simulate: str = "", **changes: Any) -> Body:
    """Creates a payment whose customer has paid."""
    payment: Body = data(create(client, f"auto_pay,{simulate}".rstrip(","), **changes))
    assert payment["status"] == "succeeded"
    return payment


def authorized(client: SignedClient, simulate: str = "", **changes: Any) -> Body:
    """Creates an authorized payment, which waits for its capture."""
    answer = create(client, f"authorize,{simulate}".rstrip(","), capture_method="manual", **changes)
    payment: Body = data(answer)
    assert payment["status"] == "authorized"
    return payment


def ordered(client: SignedClient, **changes: Any) -> Body:
    order: Body = data(client.post(ORDERS, order_request(**changes)))
    return order


def cancel(client: SignedClient, payment: Body, *, key: str | None = None, **body: Any) -> TestResponse:
    return client.post(f"{PAYMENTS}/{payment['payment_no']}/cancel", body, idempotency_key=key)


def capture(client: SignedClient, payment: Body, *, key: str | None = None, **body: Any) -> TestResponse:
    return client.post(f"{PAYMENTS}/{payment['payment_no']}/capture", body, idempotency_key=key)


def increment(client: SignedClient, payment: Body, amount: int, *, key: str | None = None) -> TestResponse:
    """Requests a larger authorization: `amount` is the new total."""
    path = f"{PAYMENTS}/{payment['payment_no']}/increment-authorization"
    return client.post(path, {"amount": amount}, idempotency_key=key)


def sync(client: SignedClient, payment: Body, *, key: str | None = None) -> TestResponse:
    return client.post(f"{PAYMENTS}/{payment['payment_no']}/sync", {}, idempotency_key=key)


def refund(
    client: SignedClient, payment: Body, amount: int, *, key: str | None = None, **more: Any
) -> TestResponse:
    body = {"payment_no": payment["payment_no"], "amount": amount, **more}
    return client.post(REFUNDS, body, idempotency_key=key)


def cancel_order(client: SignedClient, order_no: str, *, key: str | None = None, **body: Any) -> TestResponse:
    return client.post(f"{ORDERS}/{order_no}/cancel", body, idempotency_key=key)


def get_payment(client: SignedClient, payment: Body) -> Body:
    found: Body = data(client.get(f"{PAYMENTS}/{payment['payment_no']}"))
    return found


def get_order(client: SignedClient, order_no: str) -> Body:
    found: Body = data(client.get(f"{ORDERS}/{order_no}"))
    return found


def get_refund(client: SignedClient, given_back: Body) -> Body:
    found: Body = data(client.get(f"{REFUNDS}/{given_back['refund_no']}"))
    return found

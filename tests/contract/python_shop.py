"""A merchant's program that uses the generated Python client: `python_shop.py URL KEY SECRET ORDER_NO`.

Imports nothing of the platform. `api_client` is the generated package.
"""

import hashlib
import hmac
import json
import sys
import time
import uuid
from collections.abc import Generator

import httpx
from api_client import Client
from api_client.api.payments import payments_create, payments_retrieve
from api_client.api.refunds import refunds_create
from api_client.api.webhook_deliveries import webhook_deliveries_list, webhook_deliveries_retrieve
from api_client.models import (
    Currency,
    Error,
    ErrorCode,
    PaymentInputRequest,
    PaymentInputRequestMetadata,
    PaymentStatus,
    RedirectActionOutput,
    RefundInputRequest,
    RefundStatus,
    WebhookDeliveryStatus,
)


class Signature(httpx.Auth):
    requires_request_body = True

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        timestamp, nonce = str(int(time.time())), uuid.uuid4().hex
        path, _mark, query = request.url.raw_path.decode().partition("?")
        idempotency_key = request.headers.get("Idempotency-Key", "")
        digest = hashlib.sha256(request.content).hexdigest()
        lines = ["v1", request.method, path, query, timestamp, nonce, idempotency_key, digest]
        mac = hmac.new(self.secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        request.headers.update(
            {
                "X-API-Key": self.key,
                "X-Signature": f"v1={mac}",
                "X-Timestamp": timestamp,
                "X-Nonce": nonce,
            }
        )
        yield request


def main(url: str, key: str, secret: str, order_no: str) -> None:
    client = Client(base_url=url, httpx_args={"auth": Signature(key, secret), "trust_env": False})
    wanted = PaymentInputRequest(
        order_no=order_no,
        amount=10_000,
        currency=Currency.USD,
        subject="Two coffees",
        metadata=PaymentInputRequestMetadata.from_dict({"simulate": "auto_pay"}),
    )
    created = payments_create.sync_detailed(client=client, body=wanted, idempotency_key=f"{order_no}-1")
    payment = created.parsed.data
    assert payment.status is PaymentStatus.SUCCEEDED, created
    again = payments_create.sync_detailed(client=client, body=wanted, idempotency_key=f"{order_no}-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.parsed == created.parsed

    assert payment.next_action is None
    wanted.order_no, wanted.metadata = f"{order_no}-open", PaymentInputRequestMetadata()
    open_payment = payments_create.sync(client=client, body=wanted, idempotency_key=f"{order_no}-open").data
    assert isinstance(open_payment.next_action, RedirectActionOutput)
    assert open_payment.next_action.url == open_payment.payment_url

    part = RefundInputRequest(payment_no=payment.payment_no, amount=4_000, reason="one coffee back")
    refund = refunds_create.sync(client=client, body=part, idempotency_key=f"{order_no}-2").data
    assert refund.status is RefundStatus.SUCCEEDED
    part.amount = 7_000
    refused = refunds_create.sync(client=client, body=part, idempotency_key=f"{order_no}-3")
    assert isinstance(refused, Error)
    assert refused.error_code is ErrorCode.REFUND_EXCEEDS_PAYMENT

    detail = payments_retrieve.sync(payment_no=payment.payment_no, client=client).data
    assert (detail.refunded_amount, detail.attempts[0].number) == (4_000, 1)

    deliveries = webhook_deliveries_list.sync(
        client=client, status=WebhookDeliveryStatus.DELIVERED
    ).data.items
    delivery = webhook_deliveries_retrieve.sync(delivery_id=deliveries[0].id, client=client).data
    assert delivery.attempts[0].status_code == 200
    print(json.dumps({"payment_no": payment.payment_no, "refund_no": refund.refund_no}))


if __name__ == "__main__":
    main(*sys.argv[1:])

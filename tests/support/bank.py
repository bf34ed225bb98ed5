"""The simulated bank for tests: its customers, its ledger, and its webhooks.

Webhooks are signed as docs/SIMULATOR.md says, by code of its own.
"""

import hashlib
import hmac
import json
import secrets
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client

from channels.base import ChannelPayment, WebhookRequest
from channels.simulator import bank as simulated_bank
from channels.simulator import customer, ledger
from channels.simulator.bank import lock_existing_payment
from channels.simulator.models import LedgerEntry, Notification, SimulatedPayment, SimulatedRefund
from channels.simulator.router import ALIAS

WEBHOOKS = "/api/v1/webhooks/simulator"


def pay(payment: dict[str, Any]) -> None:
    """The customer opens the payment page and pays."""
    assert customer.perform_action(payment["payment_url"].rsplit("/", 1)[1], customer.CustomerAction.PAY)


def decline_card(payment: dict[str, Any]) -> None:
    """The customer chooses a card that the bank declines: another card may be tried."""
    assert customer.perform_action(payment["payment_url"].rsplit("/", 1)[1], customer.CustomerAction.DECLINE)


def decline(payment: dict[str, Any]) -> None:
    """The bank declines the payment for good."""
    with transaction.atomic(using=ALIAS):
        ledger.decline_payment(
            lock_existing_payment(
                SimulatedPayment.objects.get(channel_trade_no=payment["channel_trade_no"]).pk
            )
        )


def pay_closed_payment(payment: dict[str, Any]) -> None:
    """The customer pays a payment that we have closed: a late payment."""
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(
        state="open", failure_code="", failure_message="", expires_at=Now() + timedelta(hours=1)
    )
    pay(payment)


def complete_failed_refund(refund_no: str) -> None:
    """The bank completes a refund that had failed."""
    refused = SimulatedRefund.objects.get(pk=refund_no)
    with transaction.atomic(using=ALIAS):
        payment = lock_existing_payment(refused.payment_id)
        SimulatedRefund.objects.filter(pk=refund_no).update(
            state="succeeded", failure_code="", failure_message=""
        )
        ledger.complete_refund(payment, SimulatedRefund.objects.get(pk=refund_no))


def return_refund(refund_no: str) -> None:
    """The customer's bank returns a refund that had succeeded."""
    with transaction.atomic(using=ALIAS):
        payment = lock_existing_payment(SimulatedRefund.objects.get(pk=refund_no).payment_id)
        ledger.return_refund(payment, SimulatedRefund.objects.get(pk=refund_no))


def read_ledger(payment_no: str) -> list[tuple[str, int]]:
    """Returns kind and amount of the payment's ledger entries, oldest first."""
    rows = LedgerEntry.objects.filter(reference=payment_no).order_by("id")
    return list(rows.values_list("kind", "amount"))


def list_webhooks(payment_no: str) -> list[dict[str, Any]]:
    rows = Notification.objects.filter(reference=payment_no).order_by("created_at")
    return [row.payload for row in rows]


def deliver_webhooks(payment_no: str) -> list[str]:
    """Sends all webhooks of a payment, in order. Returns the effect of each."""
    return [read_effect(send_webhook(payload)) for payload in list_webhooks(payment_no)]


def get_channel_payment(reference: str) -> ChannelPayment:
    """Returns the payment as the bank reports it to a query."""
    return ledger.to_channel_payment(SimulatedPayment.objects.get(pk=reference))


def build_webhook(payment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Builds a webhook with the payment as the bank has it, and with changes."""
    simulated = SimulatedPayment.objects.get(pk=payment["payment_no"])
    fields = {
        "reference": simulated.reference,
        "channel_trade_no": simulated.channel_trade_no,
        "state": simulated.state,
        "amount_minor": simulated.amount,
        "currency": simulated.currency,
        "captured_minor": simulated.captured,
        "payment_url": "",
        "failure_code": simulated.failure_code,
        "failure_message": simulated.failure_message,
    }
    return {
        "event_id": f"sim_evt_{secrets.token_hex(12)}",
        "type": "payment.changed",
        "payment": {**fields, **changes},
    }


def build_webhook_request(payload: dict[str, Any] | bytes, *, at: float | None = None) -> WebhookRequest:
    """Signs a webhook as the bank does."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new(settings.SIMULATOR_WEBHOOK_SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
    return WebhookRequest(
        body, {"Simulator-Timestamp": stamp, "Simulator-Signature": f"v1={mac.hexdigest()}"}
    )


def send_webhook(
    payload: dict[str, Any] | bytes,
    *,
    at: float | None = None,
    client: Client | None = None,
    **headers: str | None,
) -> HttpResponse:
    """Posts a webhook as the bank does. A header can be replaced, or left out with None. Each new client loads the
    middleware once."""
    request = build_webhook_request(payload, at=at)
    sent: dict[str, str | None] = {**request.headers}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return (client or Client(raise_request_exception=False)).generic(
        "POST",
        WEBHOOKS,
        request.body,
        content_type="application/json",
        headers={name: value for name, value in sent.items() if value is not None},
    )


def read_effect(answer: HttpResponse) -> str:
    assert answer.status_code == 200, (answer.status_code, answer.content.decode())
    effect: str = json.loads(answer.content)["data"]["effect"]
    return effect


def let_payment_expire(payment_no: str) -> None:
    SimulatedPayment.objects.filter(pk=payment_no).update(expires_at=Now())


def settle_due_payments() -> int:
    """Applies what has fallen due at the bank. Returns the number of payments."""
    return simulated_bank.settle_due_payments()


def forget_script(payment_no: str) -> None:
    """The bank behaves well from now on."""
    SimulatedPayment.objects.filter(pk=payment_no).update(simulate="")

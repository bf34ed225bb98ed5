"""The other side of the simulator: what its customers do, what its books say, and the webhooks it sends.

Signs webhooks as docs/SIMULATOR.md says, written apart from our own code.
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

from channels.base import ChannelPayment
from channels.simulator import customer, ledger
from channels.simulator.bank import lock_existing_payment, settle_due_payments
from channels.simulator.models import LedgerEntry, Notification, SimulatedPayment, SimulatedRefund
from channels.simulator.router import ALIAS

WEBHOOKS = "/api/v1/webhooks/simulator"


def pay(payment: dict[str, Any]) -> None:
    """The customer opens the payment page and pays."""
    assert customer.perform_action(payment["payment_url"].rsplit("/", 1)[1], customer.CustomerAction.PAY)


def refuse_card(payment: dict[str, Any]) -> None:
    """The customer opens the payment page and picks a card that the bank declines: another one may be tried."""
    assert customer.perform_action(payment["payment_url"].rsplit("/", 1)[1], customer.CustomerAction.DECLINE)


def decline(payment: dict[str, Any]) -> None:
    """The bank declines the payment for good."""
    with transaction.atomic(using=ALIAS):
        ledger.decline_payment(
            lock_existing_payment(
                SimulatedPayment.objects.get(channel_trade_no=payment["channel_trade_no"]).pk
            )
        )


def pay_although_closed(payment: dict[str, Any]) -> None:
    """A bank that lets a customer pay what we have cancelled: the money is late, and real."""
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(
        state="open", failure_code="", failure_message="", expires_at=Now() + timedelta(hours=1)
    )
    pay(payment)


def refund_goes_through(refund_no: str) -> None:
    """A refund that the bank had refused is paid after all."""
    refused = SimulatedRefund.objects.get(pk=refund_no)
    with transaction.atomic(using=ALIAS):
        payment = lock_existing_payment(refused.payment_id)
        SimulatedRefund.objects.filter(pk=refund_no).update(
            state="succeeded", failure_code="", failure_message=""
        )
        ledger.complete_refund(payment, SimulatedRefund.objects.get(pk=refund_no))


def bank_returns(refund_no: str) -> None:
    """The customer's bank sends a refund back that had succeeded."""
    with transaction.atomic(using=ALIAS):
        payment = lock_existing_payment(SimulatedRefund.objects.get(pk=refund_no).payment_id)
        ledger.return_refund(payment, SimulatedRefund.objects.get(pk=refund_no))


def charges(payment_no: str) -> list[tuple[str, int]]:
    """What the bank's ledger says of a payment, oldest first."""
    rows = LedgerEntry.objects.filter(reference=payment_no).order_by("id")
    return list(rows.values_list("kind", "amount"))


def webhooks_about(payment_no: str) -> list[dict[str, Any]]:
    rows = Notification.objects.filter(reference=payment_no).order_by("created_at")
    return [row.payload for row in rows]


def deliver_webhooks(payment_no: str) -> list[str]:
    """Everything the bank has to tell about a payment, in order. Answers what came of each."""
    return [effect_of(send(payload)) for payload in webhooks_about(payment_no)]


def told_of(reference: str) -> ChannelPayment:
    """What the bank says of a payment when it is asked."""
    return ledger.to_channel_payment(SimulatedPayment.objects.get(pk=reference))


def news(told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A webhook about a payment in the bank's words, as far as the bank knows it."""
    bank = SimulatedPayment.objects.get(pk=told["payment_no"])
    about = {
        "reference": bank.reference,
        "channel_trade_no": bank.channel_trade_no,
        "state": bank.state,
        "amount_minor": bank.amount,
        "currency": bank.currency,
        "captured_minor": bank.captured,
        "payment_url": "",
        "failure_code": bank.failure_code,
        "failure_message": bank.failure_message,
    }
    return {
        "event_id": f"sim_evt_{secrets.token_hex(12)}",
        "type": "payment.changed",
        "payment": {**about, **changes},
    }


def send(payload: dict[str, Any] | bytes, *, at: float | None = None, **headers: str | None) -> HttpResponse:
    """Posts a webhook as the bank does. Headers can be replaced, or left out with None."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new(settings.SIMULATOR_WEBHOOK_SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
    sent = {"Simulator-Timestamp": stamp, "Simulator-Signature": f"v1={mac.hexdigest()}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(raise_request_exception=False).generic(
        "POST",
        WEBHOOKS,
        body,
        content_type="application/json",
        headers={name: value for name, value in sent.items() if value is not None},
    )


def effect_of(answer: HttpResponse) -> str:
    assert answer.status_code == 200, (answer.status_code, answer.content.decode())
    effect: str = json.loads(answer.content)["data"]["effect"]
    return effect


def time_to_pay_is_over(payment_no: str) -> None:
    SimulatedPayment.objects.filter(pk=payment_no).update(expires_at=Now())


def bank_settles() -> int:
    """What has fallen due at the bank is decided. Answers of how many payments."""
    return settle_due_payments()

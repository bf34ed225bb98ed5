"""Plays a merchant, its customer and the bank for one payment of the demo history, through the services that the API
uses.

Work of the workers and periodic tasks is done at once, so that the history is complete where none runs. Where workers
run, leases and fencing tokens make both safe side by side.
"""

import datetime as dt
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from channels.base import ChannelDisputeStage, DisputeState
from channels.simulator import bank, customer, disputes, webhooks
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification, SimulatedDispute, SimulatedPayment
from channels.simulator.router import ALIAS
from demo.time_shift import move_into_past
from gateway.models import CaptureMethod, Payment
from gateway.services import expiry
from gateway.services.cancel_payment import cancel_payment
from gateway.services.capture_payment import capture_payment
from gateway.services.channel_webhooks import receive_webhook
from gateway.services.create_payment import PaymentCommand, create_payment
from gateway.services.create_refund import create_refund
from idempotency.request import KeyedRequest
from merchants.principal import Principal
from sagas import engine
from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance, SagaStep

MAX_ROUNDS = 400
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Sale:
    """The purchase of one payment's customer."""

    order_no: str
    amount_minor: int
    currency: str
    subject: str
    customer: dict[str, Any]


class DemoShop:
    def __init__(self, principal: Principal, sale: Sale) -> None:
        self.principal, self.sale = principal, sale

    @property
    def payment(self) -> Payment:
        return Payment.objects.get(
            merchant_id=self.principal.merchant_id,
            environment=self.principal.environment,
            order_no=self.sale.order_no,
        )

    def create(self, simulate: str = "", *, manual: bool = False, keyed: bool = False) -> None:
        """`simulate` is a script of docs/SIMULATOR.md."""
        command = PaymentCommand(
            order_no=self.sale.order_no,
            amount_minor=self.sale.amount_minor,
            currency=self.sale.currency,
            channel=SimulatorChannel.name,
            subject=self.sale.subject,
            body="",
            callback_url="",
            return_url="",
            capture_method=CaptureMethod.MANUAL.value if manual else CaptureMethod.AUTOMATIC.value,
            expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
            customer=self.sale.customer,
            metadata={"simulate": simulate} if simulate else {},
        )
        request = self._build_request("/payments", key=f"pay-{self.sale.order_no}" if keyed else None)
        create_payment(principal=self.principal, command=command, request=request)
        self.settle()

    def pay(self, *, after_minutes: float = 2.0) -> None:
        """The customer pays on the simulator's payment page."""
        self.let_time_pass(dt.timedelta(minutes=after_minutes))
        token = self.payment.payment_url.rsplit("/", 1)[1]
        customer.perform_action(token, customer.CustomerAction.PAY)
        self.settle()

    def cancel(self, reason: str) -> None:
        self._call(cancel_payment, payment=self.payment, reason=reason, route="/cancel")

    def capture(self, amount_minor: int | None = None) -> None:
        self._call(
            capture_payment,
            payment=self.payment,
            amount_minor=amount_minor,
            is_final=True,
            route="/capture",
        )

    def refund(self, amount_minor: int, reason: str) -> None:
        request = self._build_request("/refunds")
        create_refund(payment=self.payment, amount_minor=amount_minor, reason=reason, request=request)
        self.settle()

    def dispute(
        self, state: DisputeState, *, due_in: dt.timedelta = disputes.DUE_IN, is_inquiry: bool = False
    ) -> None:
        """The customer disputes the whole amount, or the bank decides the dispute."""
        number = self.payment.payment_no
        known = SimulatedDispute.objects.filter(payment_id=number).first()
        if known is not None:
            disputes.decide_dispute(known.pk, state)
        else:
            stage = ChannelDisputeStage.INQUIRY if is_inquiry else ChannelDisputeStage.CHARGEBACK
            with transaction.atomic(using=ALIAS):
                paid = bank.lock_existing_payment(number)
                disputes.open_dispute(paid, paid.captured, stage=stage, due_in=due_in)
        self.settle()

    def let_expire(self) -> None:
        self.let_time_pass(dt.timedelta(seconds=settings.PAYMENT_EXPIRES_IN_SECONDS + 5))
        expiry.expire_due_payments(environment="test")
        self.settle()

    def pay_late(self) -> None:
        """The bank takes money for a payment that we have closed. No script of the simulator does this."""
        self.let_time_pass(dt.timedelta(minutes=3))
        SimulatedPayment.objects.filter(pk=self.payment.payment_no).update(
            state="open", expires_at=Now() + dt.timedelta(hours=1)
        )
        self.pay()

    def let_time_pass(self, duration: dt.timedelta) -> None:
        move_into_past(payment_no=self.payment.payment_no, by=duration)

    def settle(self) -> None:
        """Does now what workers and the bank would do later: retries, decisions and webhooks."""
        self._finish_sagas()
        bank.settle_due_payments()
        if self._deliver_webhooks():
            self._finish_sagas()

    def _call(self, service: Any, *, route: str, **arguments: Any) -> None:
        service(principal=self.principal, request=self._build_request(route), **arguments)
        self.settle()

    def _finish_sagas(self) -> None:
        """Those of the payment and its refunds. The refund of a late payment has a saga before it has a row."""
        payment = self.payment
        finish_sagas(Q(business_id=payment.payment_no) | Q(metadata__payment_id=str(payment.pk)))

    def _deliver_webhooks(self) -> int:
        """Delivers the bank's webhooks without a network call."""
        due = list(
            Notification.objects.filter(reference=self.payment.payment_no, due_at__isnull=False).order_by(
                "created_at"
            )
        )
        for notification in due:
            body = json.dumps(notification.payload, ensure_ascii=False).encode()
            receive_webhook(
                channel=SimulatorChannel.name,
                body=body,
                headers=webhooks.sign(body, timestamp=int(time.time())),
            )
            Notification.objects.filter(pk=notification.pk).update(
                due_at=None, delivered_at=Now(), deliveries_left=0, attempts=F("attempts") + 1
            )
        return len(due)

    def _build_request(self, route: str, key: str | None = None) -> KeyedRequest:
        return KeyedRequest(
            tenant=self.principal.tenant,
            method="POST",
            route=route,
            key=key,
            fields={},
        )


def finish_sagas(condition: Q) -> None:
    """Resumes these sagas without waiting for their retries, until each has ended or needs review."""
    active = SagaInstance.objects.filter(condition, status__in=ACTIVE_SAGA_STATUSES, needs_attention=False)
    for _round in range(MAX_ROUNDS):
        saga_ids: list[uuid.UUID] = list(active.values_list("pk", flat=True))
        if not saga_ids:
            return
        SagaStep.objects.filter(saga_id__in=saga_ids, next_retry_at__isnull=False).update(next_retry_at=Now())
        resumed = [saga_id for saga_id in saga_ids if engine.resume_saga(saga_id) is not None]
        if not resumed:
            time.sleep(PAUSE_SECONDS)  # a worker of the running stack holds it

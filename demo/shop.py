"""A merchant's program, its customers and its bank, for the demo history: they use the platform as everyone does.

What Celery would do in its time is done at once, so that a history is complete also where no worker runs; where one
does, leases and fences make it harmless beside us.
"""

import datetime as dt
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from channels.simulator import bank, customer, webhooks
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification, SimulatedPayment
from demo.times import let_pass
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

MOST_ROUNDS = 400
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Sale:
    """What is sold in one payment of the history."""

    order_no: str
    amount_minor: int
    currency: str
    subject: str
    customer: dict[str, Any]


class Shop:
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
        request = self._request("/payments", key=f"pay-{self.sale.order_no}" if keyed else None)
        create_payment(principal=self.principal, command=command, request=request)
        self.settle()

    def pays(self, *, after_minutes: float = 2.0) -> None:
        self._act(customer.CustomerAction.PAY, after_minutes)

    def _act(self, action: customer.CustomerAction, after_minutes: float) -> None:
        self.waits(dt.timedelta(minutes=after_minutes))
        customer.perform_action(self.payment.payment_url.rsplit("/", 1)[1], action)
        self.settle()

    def cancels(self, reason: str) -> None:
        self._run(cancel_payment, payment=self.payment, reason=reason, route="/cancel")

    def captures(self, amount_minor: int | None = None) -> None:
        self._run(capture_payment, payment=self.payment, amount_minor=amount_minor, route="/capture")

    def refunds(self, amount_minor: int, reason: str) -> None:
        request = self._request("/refunds")
        create_refund(payment=self.payment, amount_minor=amount_minor, reason=reason, request=request)
        self.settle()

    def lets_it_expire(self) -> None:
        self.waits(dt.timedelta(seconds=settings.PAYMENT_EXPIRES_IN_SECONDS + 5))
        expiry.expire_due_payments(environment="test")
        self.settle()

    def pays_too_late(self) -> None:
        """A bank that takes money for what we have closed: no script of the simulator is so unkind."""
        self.waits(dt.timedelta(minutes=3))
        SimulatedPayment.objects.filter(pk=self.payment.payment_no).update(
            state="open", expires_at=Now() + dt.timedelta(hours=1)
        )
        self.pays()

    def waits(self, how_long: dt.timedelta) -> None:
        let_pass(payment_no=self.payment.payment_no, by=how_long)

    def settle(self) -> None:
        """Retries, webhooks and questions that would come by themselves come now."""
        self._finish_sagas()
        bank.settle_due_payments()
        if self._deliver_webhooks():
            self._finish_sagas()

    def _run(self, service: Any, *, route: str, **given: Any) -> None:
        service(principal=self.principal, request=self._request(route), **given)
        self.settle()

    def _finish_sagas(self) -> None:
        for _round in range(MOST_ROUNDS):
            ids = self._active_sagas()
            if not ids:
                return
            SagaStep.objects.filter(saga_id__in=ids, next_retry_at__isnull=False).update(next_retry_at=Now())
            if not [saga_id for saga_id in ids if engine.resume_saga(saga_id) is not None]:
                time.sleep(PAUSE_SECONDS)  # a worker of the running stack has it

    def _deliver_webhooks(self) -> int:
        """As the bank's sender does, without the network in between."""
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

    def _active_sagas(self) -> list[uuid.UUID]:
        """Also a refund's that has no row yet: money that came too late is given back by a saga of its own."""
        payment = self.payment
        of_payment = Q(business_id=payment.payment_no) | Q(metadata__payment_id=str(payment.pk))
        active = SagaInstance.objects.filter(
            of_payment, status__in=ACTIVE_SAGA_STATUSES, needs_attention=False
        )
        return list(active.values_list("pk", flat=True))

    def _request(self, route: str, key: str | None = None) -> KeyedRequest:
        return KeyedRequest(
            tenant=self.principal.tenant,
            method="POST",
            route=route,
            key=key,
            fields={},
        )

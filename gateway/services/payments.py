"""Payments for merchants: create, cancel, capture, ask."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from common.ids import public_number
from gateway import limits, selectors
from gateway.errors import (
    CaptureDeclined,
    CaptureExceedsPayment,
    OperationInProgress,
    PaymentDeclined,
    PaymentNotCancellable,
    PaymentNotCapturable,
    declined,
)
from gateway.flows import payment_cancel, payment_retry
from gateway.flows.data import PaymentCaptureData, PaymentCreateData, existing_payment, saga_queue
from gateway.flows.payment_create import PAYMENT_CREATE
from gateway.models import Payment, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services import channel_queries, routing
from gateway.services.keyed_saga import run_saga_once
from idempotency.request import KeyedRequest
from merchants.principal import Principal
from orders.errors import DuplicateOrderNo
from sagas import engine, operations
from sagas import selectors as saga_selectors
from sagas.models import SagaStatus
from sagas.outcomes import Failure
from sagas.state import SagaState


@dataclass(frozen=True, slots=True)
class PaymentCommand:
    """A payment as the merchant asks for it, checked for form. Without a channel the routing rules choose one."""

    order_no: str
    amount_minor: int
    currency: str
    channel: str
    subject: str
    body: str
    callback_url: str
    return_url: str
    capture_method: str
    expires_in_seconds: int
    items: list[dict[str, Any]] = field(default_factory=list)
    customer: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def create_payment(*, principal: Principal, command: PaymentCommand, request: KeyedRequest) -> Answer:
    """Order, payment and saga in one commit; the channel's answer in a second one. For an order whose payment ended
    without money, a further attempt of that payment (ADR 18).

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`, `DuplicateOrderNo`, `OrderNotPayable`,
    `OrderMismatch`.
    """
    route = _route(principal, command)

    def begin(payment_id: uuid.UUID) -> SagaState:
        data = PaymentCreateData(
            payment_id=payment_id,
            payment_no=public_number("PAY", timezone.now().date()),
            order_id=payment_id,
            merchant_id=principal.merchant_id,
            environment=principal.environment,
            order_no=command.order_no,
            amount_minor=command.amount_minor,
            currency=command.currency,
            channel=route.channel,
            sandbox=route.sandbox,
            elsewhere=list(route.elsewhere),
            subject=command.subject,
            body=command.body,
            callback_url=command.callback_url,
            return_url=command.return_url,
            capture_method=command.capture_method,
            expires_in_seconds=command.expires_in_seconds,
            items=command.items,
            customer=command.customer,
            metadata=command.metadata,
        )
        try:
            return engine.start(
                PAYMENT_CREATE.name,
                version=PAYMENT_CREATE.version,
                saga_id=payment_id,
                business_id=data.payment_no,
                data=data.as_json(),
                **saga_queue(data.environment, data.merchant_id),
            )
        except DuplicateOrderNo as duplicate:
            # Nothing was written: the order is locked, and its payment may be tried again.
            return payment_retry.start(
                payment_no=duplicate.details["payment_no"], saga_id=payment_id, wanted=data
            )

    return run_saga_once(request, begin=begin, answer_of=_created_answer)


def _created_answer(payment_id: uuid.UUID, status: SagaStatus | None, _failure: Failure | None) -> Answer:
    payment = selectors.payment_opened_by(payment_id)
    # A failed saga is over for the merchant when a person, or the channel, has ended the payment.
    is_closed_by_hand = status == SagaStatus.FAILED and not payment.is_open
    is_undone = status == SagaStatus.COMPENSATED or is_closed_by_hand
    if is_undone and payment.status == PaymentStatus.FAILED:
        return failure(
            declined(
                PaymentDeclined,
                {
                    "payment_no": payment.payment_no,
                    "order_no": payment.order_no,
                    "status": payment.status,
                    "failure_code": payment.failure_code,
                    "failure_message": payment.failure_message,
                },
            )
        )
    finished = status == SagaStatus.COMPLETED or is_undone
    if not finished:
        return accepted(payment_body(payment), location=payment_path(payment))
    return success(payment_body(payment), message=_("Created"))


def cancel_payment(
    *,
    principal: Principal,
    payment: Payment,
    request: KeyedRequest,
    reason: str = "",
) -> Answer:
    """Ends a payment that is not paid: the channel, which knows whether it is, decides.

    Raises `PaymentNotCancellable`, `OperationInProgress`.
    """

    def begin(saga_id: uuid.UUID) -> SagaState | None:
        return start_cancel(
            payment_id=payment.id, saga_id=saga_id, final_status=PaymentStatus.CANCELLED, reason=reason
        )

    def answer_of(_saga_id: uuid.UUID, status: SagaStatus | None, _failure: Failure | None) -> Answer:
        now = selectors.payment_of(principal, payment.payment_no)
        if now.status in (PaymentStatus.CANCELLED, PaymentStatus.EXPIRED):
            return success(payment_body(now), message=_("Cancelled"))
        # Handed to the creating saga, which has gone forward: the customer was faster.
        is_too_late = status is None and saga_selectors.status_of(payment.id) == SagaStatus.COMPLETED
        is_refused = is_too_late or status in (SagaStatus.COMPENSATED, SagaStatus.FAILED)
        if now.is_open and not is_refused:
            return accepted(payment_body(now), location=payment_path(now))
        return failure(PaymentNotCancellable({"payment_no": now.payment_no, "status": now.status}))

    return run_saga_once(request, begin=begin, answer_of=answer_of)


def start_cancel(
    *,
    payment_id: uuid.UUID,
    saga_id: uuid.UUID,
    final_status: PaymentStatus,
    reason: str,
    leased: bool = True,
) -> SagaState | None:
    """Begins payment.cancel in the caller's transaction, or asks the creating saga to turn back (None).

    Raises `PaymentNotCancellable`, `OperationInProgress`.
    """
    payment = Payment.objects.select_for_update().get(id=payment_id)
    if not payment.is_open or payment.status == PaymentStatus.PROCESSING:
        # What the customer has submitted ends as the channel says.
        raise PaymentNotCancellable({"payment_no": payment.payment_no, "status": payment.status})
    if operations.request_cancel(saga_id=selectors.opening_saga_id(payment)):
        return None
    _refuse_second_operation(payment)
    return payment_cancel.start(
        payment=payment, saga_id=saga_id, final_status=final_status, reason=reason, leased=leased
    )


def capture_payment(
    *, principal: Principal, payment: Payment, amount_minor: int | None, request: KeyedRequest
) -> Answer:
    """Takes an authorized amount, all of it when none is named. Asks first about a payment that is open and not
    authorized as far as we know.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `OperationInProgress`, `ServiceUnavailable`.
    """
    if payment.is_open and payment.status != PaymentStatus.AUTHORIZED:
        channel_queries.query_payment(payment=payment)

    def begin(saga_id: uuid.UUID) -> SagaState:
        return start_capture(payment_id=payment.id, saga_id=saga_id, amount_minor=amount_minor)

    def answer_of(_saga_id: uuid.UUID, status: SagaStatus | None, why: Failure | None) -> Answer:
        now = selectors.payment_of(principal, payment.payment_no)
        if now.status == PaymentStatus.SUCCEEDED:
            return success(payment_body(now), message=_("Captured"))
        if status == SagaStatus.COMPENSATED or (status == SagaStatus.FAILED and not now.is_open):
            told = {"failure_code": why.code, "failure_message": why.message} if why else {}
            return failure(declined(CaptureDeclined, {"payment_no": now.payment_no, **told}))
        return accepted(payment_body(now), location=payment_path(now))

    return run_saga_once(request, begin=begin, answer_of=answer_of)


def start_capture(*, payment_id: uuid.UUID, saga_id: uuid.UUID, amount_minor: int | None) -> SagaState:
    """Begins payment.capture in the caller's transaction.

    Raises `PaymentNotCapturable`, `CaptureExceedsPayment`, `AmountNotSupported`, `OperationInProgress`.
    """
    payment = Payment.objects.select_for_update().get(id=payment_id)
    if payment.status != PaymentStatus.AUTHORIZED:
        raise PaymentNotCapturable({"payment_no": payment.payment_no, "status": payment.status})
    amount = amount_minor or payment.amount_minor
    if amount > payment.amount_minor:
        raise CaptureExceedsPayment(
            {"payment_no": payment.payment_no, "authorized_amount": payment.amount_minor}
        )
    limits.require_amount(channel=payment.channel, amount_minor=amount, currency=payment.currency)
    _refuse_second_operation(payment)
    data = PaymentCaptureData(**existing_payment(payment), amount_minor=amount)
    return engine.start(
        "payment.capture",
        version=1,
        saga_id=saga_id,
        business_id=payment.payment_no,
        data=data.as_json(),
        **saga_queue(payment.environment, payment.merchant_id),
    )


def _route(principal: Principal, command: PaymentCommand) -> routing.Route:
    if command.channel:
        return routing.route_to(
            channel=command.channel,
            environment=principal.environment,
            amount_minor=command.amount_minor,
            currency=command.currency,
            expires_in_seconds=command.expires_in_seconds,
        )
    return routing.choose(
        principal=principal,
        order_no=command.order_no,
        amount_minor=command.amount_minor,
        currency=command.currency,
        expires_in_seconds=command.expires_in_seconds,
    )


def _refuse_second_operation(payment: Payment) -> None:
    for definition in ("payment.cancel", "payment.capture"):
        if saga_selectors.has_active(definition=definition, business_id=payment.payment_no):
            raise OperationInProgress({"payment_no": payment.payment_no, "operation": definition})

"""POST /payments, from the request to the answer.

1. Choose the channel: the one that the merchant names, or by the routing rules.
2. Commit 1: claim the idempotency key; create order, payment and saga; record the intent of the channel call. One
   statement when key and order number are new (ADR 39), else a transaction that decides.
3. Call the channel (`flows/payment_channel_call.py`), with no transaction open.
4. Commit 2: record the outcome and the answer.
"""

import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from channel_accounts.loaded_accounts import load_account
from channels.base import RequestField
from channels.registry import get_capabilities
from common.api.envelope import Answer, accepted, failure, success
from common.errors import ApiError
from common.ids import public_number
from gateway import selectors
from gateway.errors import PaymentDeclined, build_declined_error
from gateway.flows import payment_create, payment_retry
from gateway.flows.data import PaymentCreateData, RequestedPayment
from gateway.limits import CARD_BIN, CARD_BRAND
from gateway.models import CaptureMethod, PaymentStatus
from gateway.representation import payment_body, payment_path
from gateway.services.routing.matching import RoutedPayment
from gateway.services.routing.routes import Route, route_by_rules, route_to_channel
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key, find_claim
from merchants.principal import Principal
from orders.errors import DuplicateOrderNo
from sagas.definitions import RowsOfStart
from sagas.models import SagaStatus
from sagas.state import SagaState


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCommand(RequestedPayment):
    """A payment as the merchant requests it. The API has checked the fields."""

    channel: str  # empty: the routing rules choose


def create_payment(*, principal: Principal, command: PaymentCommand, request: KeyedRequest) -> Answer:
    """Creates an order and its payment. For an order whose payment ended without money, begins a further attempt of
    that payment (ADR 18). The API calls `find_replay` before.

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`, `DuplicateOrderNo`, `OrderNotPayable`,
    `OrderMismatch`.
    """
    try:
        route = _choose_route(principal, command)
    except ApiError:
        # A repetition is not a new payment: it gets its answer, whatever the channel accepts today.
        known: Claim[SagaState | None] | None = find_claim(request)
        if known is None:
            raise
        return run_claimed_saga(known, build_answer=_build_answer)

    def begin_in_one_statement(claim: Claim[SagaState | None], now: dt.datetime) -> SagaState:
        data = _build_data(claim.resource_id, principal, command, route)
        return payment_create.start_payment_create(
            data=data, rows_of_start=RowsOfStart(now, claim.build_rows())
        )

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return _start_create_or_retry(_build_data(claim.resource_id, principal, command, route))

    claim = claim_key(
        request,
        begin=begin,
        begin_in_one_statement=begin_in_one_statement,
        now=principal.authenticated_at,
        reads_cache=False,
    )
    return run_claimed_saga(claim, build_answer=_build_answer)


def _choose_route(principal: Principal, command: PaymentCommand) -> Route:
    payment = RoutedPayment(
        merchant_id=principal.merchant_id,
        environment=principal.environment,
        order_no=command.order_no,
        amount_minor=command.amount_minor,
        currency=command.currency,
        expires_in_seconds=command.expires_in_seconds,
        payment_method=command.payment_method,
        country=command.country,
        card_brand=command.payment_method_options.get(CARD_BRAND, ""),
        card_bin=command.payment_method_options.get(CARD_BIN, ""),
        payment_method_options=command.payment_method_options,
        given_fields=_list_given_fields(command),
        is_captured_manually=command.capture_method == CaptureMethod.MANUAL,
    )
    if command.channel:
        return route_to_channel(channel=command.channel, payment=payment)
    return route_by_rules(payment)


def _list_given_fields(command: PaymentCommand) -> frozenset[RequestField]:
    values = {
        RequestField.CLIENT_IP: command.client_ip,
        RequestField.RETURN_URL: command.return_url,
        RequestField.CUSTOMER_EMAIL: command.customer.get("email", ""),
    }
    return frozenset(name for name, value in values.items() if value)


def _start_create_or_retry(data: PaymentCreateData) -> SagaState:
    """Runs in the transaction that claims the key. The saga's first step creates order and payment in it."""
    try:
        return payment_create.start_payment_create(data=data)
    except DuplicateOrderNo as duplicate:
        # Nothing was written. The order is locked, and its payment may allow a further attempt.
        return payment_retry.start_payment_retry(
            payment_no=duplicate.details["payment_no"], saga_id=data.payment_id, requested=data
        )


def _build_data(
    payment_id: uuid.UUID, principal: Principal, command: PaymentCommand, route: Route
) -> PaymentCreateData:
    return PaymentCreateData(
        payment_id=payment_id,
        payment_no=public_number("PAY", timezone.now().date()),
        order_id=payment_id,
        merchant_id=principal.merchant_id,
        environment=principal.environment,
        channel=route.choice.channel,
        channel_account=route.choice.channel_account,
        sandbox=route.sandbox,
        fallback_channels=[dataclasses.asdict(choice) for choice in route.fallbacks],
        application_fees=_compute_application_fees(command, route),
        **command.list_requested_fields(),
    )


def _compute_application_fees(command: PaymentCommand, route: Route) -> dict[str, int]:
    """By the id of the channel account; only of accounts of which the platform takes something."""
    fees = {}
    for choice in (route.choice, *route.fallbacks):
        if choice.account_id is None:
            continue
        fee = load_account(choice.account_id).application_fee.compute(
            amount_minor=command.amount_minor,
            currency=command.currency,
            step=get_capabilities(choice.channel).get_amount_step(command.currency),
        )
        if fee:
            fees[choice.channel_account] = fee
    return fees


def _build_answer(result: SagaResult) -> Answer:
    activated = result.written_objects.get(payment_create.ACTIVATED_PAYMENT)
    payment = activated or selectors.get_payment_of_saga(result.saga_id)
    # A failed saga needs review. It is over for the merchant once staff, or the channel, have ended the payment.
    is_over = result.status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED) or (
        result.status == SagaStatus.FAILED and not payment.is_open
    )
    if not is_over:
        return accepted(payment_body(payment), location=payment_path(payment))
    if result.status != SagaStatus.COMPLETED and payment.status == PaymentStatus.FAILED:
        return failure(
            build_declined_error(
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
    return success(payment_body(payment), message=_("Created"))

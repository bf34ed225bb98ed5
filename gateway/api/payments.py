"""Payments over HTTP: each view reads the request, calls one service and answers."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.fields import NoInput
from common.api.http import respond, validated, validated_query
from common.api.pagination import IndexPrefix
from common.api.schema import ErrorSerializer, enveloped, page_schema
from gateway import selectors
from gateway.api.pages import respond_with_page
from gateway.api.serializers.captures import CaptureInput, IncrementAuthorizationInput
from gateway.api.serializers.payments import (
    CancelInput,
    PaymentDetailOutput,
    PaymentInput,
    PaymentOutput,
    PaymentQuery,
)
from gateway.models import Payment, PaymentStatus
from gateway.representation import payment_body, payment_detail
from gateway.services import channel_queries
from gateway.services.cancel_order import cancel_order
from gateway.services.cancel_payment import cancel_payment
from gateway.services.capture_payment import capture_payment
from gateway.services.create_payment import PaymentCommand, create_payment
from gateway.services.increment_authorization import increment_authorization
from idempotency.request import KeyedRequest, read_keyed_request
from idempotency.services.replay import find_replay, name_stored_answer
from merchants.principal import Principal, principal_of
from merchants.scopes import ORDERS_WRITE, PAYMENTS_READ, PAYMENTS_WRITE
from orders.selectors import get_order
from orders.serializers import OrderOutput

CREATION_ROUTE = "/payments"
FILTERS = {"status": "status", "order_no": "order_no", "channel": "channel"}
PAYMENT = enveloped("PaymentAnswer", PaymentOutput())
PAYMENT_DETAIL = enveloped("PaymentDetailAnswer", PaymentDetailOutput())
PAYMENTS = enveloped("PaymentsAnswer", page_schema("PaymentPage", PaymentOutput))
ORDER_CANCEL = enveloped("OrderCancelAnswer", OrderOutput())
WRITTEN = {200: PAYMENT, 202: PAYMENT, "4XX": ErrorSerializer}


class PaymentListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ, "POST": PAYMENTS_WRITE}

    def name_prefetched_value(self, principal: Principal) -> str | None:
        """The stored answer to an earlier request with the same key."""
        return name_stored_answer(self.request._request, tenant=principal.tenant, route=CREATION_ROUTE)

    @extend_schema(operation_id="payments_create", request=PaymentInput, responses=WRITTEN)
    def post(self, request: Request) -> HttpResponse:
        """Creates an order and its payment, and answers where the customer pays.

        202 when the channel's answer is not known in time: the background finishes it.
        """
        principal = principal_of(request)
        keyed = read_keyed_request(
            request._request,
            tenant=principal.tenant,
            route=CREATION_ROUTE,
            body=request.data,
            lenient_fields=principal.lenient_fields,
        )
        stored: Any = request.auth  # the value of `name_prefetched_value`, read with the rate limit
        replay = find_replay(keyed, stored)
        if replay is not None:
            return respond(replay)
        command = PaymentCommand(**validated(PaymentInput, request.data))
        return respond(create_payment(principal=principal, command=command, request=keyed))

    @extend_schema(operation_id="payments_list", parameters=[PaymentQuery], responses=PAYMENTS)
    def get(self, request: Request) -> HttpResponse:
        """Payments, newest first."""
        query = validated_query(PaymentQuery, request)
        payments = selectors.get_payments(principal_of(request))
        # The index of a channel's payments is ordered within each status.
        is_split = "channel" in query and "status" not in query
        index_prefix = IndexPrefix("status", PaymentStatus.values) if is_split else None
        return respond_with_page(
            payments, query, filters=FILTERS, body_of=payment_body, index_prefix=index_prefix
        )


class PaymentView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="payments_retrieve", responses=PAYMENT_DETAIL)
    def get(self, request: Request, payment_no: str) -> HttpResponse:
        """One payment, with its attempts, captures, authorization increments and disputes."""
        payment = selectors.get_payment(principal_of(request), payment_no)
        return respond(success(payment_detail(payment), message=_("Success")))


class PaymentCancelView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="payments_cancel", request=CancelInput, responses=WRITTEN)
    def post(self, request: Request, payment_no: str) -> HttpResponse:
        """Ends a payment that is not paid, or releases an authorized one."""
        payment = selectors.get_payment(principal_of(request), payment_no)
        return _cancel(request, payment, route="/payments/{payment_no}/cancel")


class ChannelPaymentCancelView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="channel_payments_cancel", request=CancelInput, responses=WRITTEN)
    def post(self, request: Request, channel_trade_no: str) -> HttpResponse:
        """Ends a payment that is named by the channel's number."""
        payment = selectors.get_payment_by_trade_no(principal_of(request), channel_trade_no)
        return _cancel(request, payment, route="/channel/payments/{channel_trade_no}/cancel")


def _cancel(request: Request, payment: Payment, *, route: str) -> HttpResponse:
    values = validated(CancelInput, request.data)
    answer = cancel_payment(
        principal=principal_of(request),
        payment=payment,
        request=_keyed(request, route=route, payment_no=payment.payment_no),
        reason=values["reason"],
    )
    return respond(answer)


class PaymentCaptureView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="payments_capture", request=CaptureInput, responses=WRITTEN)
    def post(self, request: Request, payment_no: str) -> HttpResponse:
        """Takes an authorized amount, or part of it; the rest is released.

        With `final_capture: false` the rest stays held, and the payment stays `authorized` for further captures.
        """
        principal, values = principal_of(request), validated(CaptureInput, request.data)
        payment = selectors.get_payment(principal, payment_no)
        answer = capture_payment(
            principal=principal,
            payment=payment,
            amount_minor=values.get("amount"),
            is_final=values["final_capture"],
            request=_keyed(request, route="/payments/{payment_no}/capture", payment_no=payment_no),
        )
        return respond(answer)


class PaymentAuthorizationIncrementView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(
        operation_id="payments_increment_authorization",
        request=IncrementAuthorizationInput,
        responses=WRITTEN,
    )
    def post(self, request: Request, payment_no: str) -> HttpResponse:
        """Authorizes a larger amount, before the first capture. A decline leaves the authorization as it was."""
        principal, values = principal_of(request), validated(IncrementAuthorizationInput, request.data)
        payment = selectors.get_payment(principal, payment_no)
        answer = increment_authorization(
            principal=principal,
            payment=payment,
            amount_minor=values["amount"],
            request=_keyed(
                request, route="/payments/{payment_no}/increment-authorization", payment_no=payment_no
            ),
        )
        return respond(answer)


class PaymentSyncView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="payments_sync", request=NoInput, responses=WRITTEN)
    def post(self, request: Request, payment_no: str) -> HttpResponse:
        """Queries the channel now and records its status."""
        principal = principal_of(request)
        validated(NoInput, request.data)
        payment = selectors.get_payment(principal, payment_no)
        keyed = _keyed(request, route="/payments/{payment_no}/sync", payment_no=payment_no)
        return respond(channel_queries.sync_payment(principal=principal, payment=payment, request=keyed))


class OrderCancelView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": ORDERS_WRITE}

    @extend_schema(
        operation_id="orders_cancel",
        request=CancelInput,
        responses={200: ORDER_CANCEL, 202: ORDER_CANCEL, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, order_no: str) -> HttpResponse:
        """Cancels the order; its open payment is cancelled at the channel first."""
        principal, values = principal_of(request), validated(CancelInput, request.data)
        answer = cancel_order(
            principal=principal,
            order=get_order(principal, order_no),
            request=_keyed(request, route="/orders/{order_no}/cancel", order_no=order_no),
            reason=values["reason"],
        )
        return respond(answer)


def _keyed(request: Request, *, route: str, **target: str) -> KeyedRequest:
    return read_keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=route,
        body=request.data,
        target=target,
    )

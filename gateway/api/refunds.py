"""Refunds over HTTP."""

from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated, validated_query
from common.api.schema import ErrorSerializer, enveloped, page_schema
from gateway import selectors
from gateway.api.pages import respond_with_page
from gateway.api.serializers import RefundInput, RefundOutput, RefundQuery
from gateway.representation import refund_body
from gateway.services.create_refund import create_refund
from idempotency.request import read_keyed_request
from merchants.principal import principal_of
from merchants.scopes import REFUNDS_READ, REFUNDS_WRITE

FILTERS = {"status": "status", "payment_no": "payment__payment_no"}
REFUND = enveloped("RefundAnswer", RefundOutput())
REFUNDS = enveloped("RefundsAnswer", page_schema("RefundPage", RefundOutput))


class RefundListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": REFUNDS_READ, "POST": REFUNDS_WRITE}

    @extend_schema(
        operation_id="refunds_create",
        request=RefundInput,
        responses={200: REFUND, 202: REFUND, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Refunds a succeeded payment, in whole or in part."""
        principal, values = principal_of(request), validated(RefundInput, request.data)
        payment = selectors.get_payment(principal, values["payment_no"])
        keyed = read_keyed_request(
            request._request,
            tenant=principal.tenant,
            route="/refunds",
            body=request.data,
        )
        answer = create_refund(
            payment=payment, amount_minor=values["amount"], reason=values["reason"], request=keyed
        )
        return respond(answer)

    @extend_schema(operation_id="refunds_list", parameters=[RefundQuery], responses=REFUNDS)
    def get(self, request: Request) -> HttpResponse:
        """Refunds, newest first."""
        query = validated_query(RefundQuery, request)
        refunds = selectors.get_refunds(principal_of(request))
        return respond_with_page(refunds, query, filters=FILTERS, body_of=refund_body)


class RefundView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": REFUNDS_READ}

    @extend_schema(operation_id="refunds_retrieve", responses=REFUND)
    def get(self, request: Request, refund_no: str) -> HttpResponse:
        """One refund."""
        refund = selectors.get_refund(principal_of(request), refund_no)
        return respond(success(refund_body(refund), message=_("Success")))

"""Refunds over HTTP."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import Answer, success
from common.api.http import respond, validated, validated_query
from common.api.schema import ErrorSerializer, enveloped, page_schema
from gateway import selectors
from gateway.api.pages import respond_with_page
from gateway.api.serializers.refunds import RefundInput, RefundOutput, RefundQuery
from gateway.representation import refund_body
from gateway.services.create_refund import create_refund
from idempotency.request import KeyedRequest, read_keyed_request
from idempotency.services.replay import find_replay, name_stored_answer
from merchants.principal import Principal, principal_of
from merchants.scopes import REFUNDS_READ, REFUNDS_WRITE

CREATION_ROUTE = "/refunds"
FILTERS = {"status": "status", "payment_no": "payment__payment_no"}
REFUND = enveloped("RefundAnswer", RefundOutput())
REFUNDS = enveloped("RefundsAnswer", page_schema("RefundPage", RefundOutput))


class RefundListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": REFUNDS_READ, "POST": REFUNDS_WRITE}

    def name_prefetched_value(self, principal: Principal) -> str | None:
        """The answer to an earlier request with the same key, read with the rate limit."""
        return name_stored_answer(self.request._request, tenant=principal.tenant, route=CREATION_ROUTE)

    @extend_schema(
        operation_id="refunds_create",
        request=RefundInput,
        responses={200: REFUND, 202: REFUND, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Refunds a succeeded payment, in whole or in part."""
        principal = principal_of(request)
        keyed = read_keyed_request(
            request._request,
            tenant=principal.tenant,
            route=CREATION_ROUTE,
            body=request.data,
        )
        stored: Any = request.auth  # the value of `name_prefetched_value`, read with the rate limit
        return respond(find_replay(keyed, stored) or _create(principal, keyed, request.data))

    @extend_schema(operation_id="refunds_list", parameters=[RefundQuery], responses=REFUNDS)
    def get(self, request: Request) -> HttpResponse:
        """Refunds, newest first."""
        query = validated_query(RefundQuery, request)
        refunds = selectors.get_refunds(principal_of(request))
        return respond_with_page(refunds, query, filters=FILTERS, body_of=refund_body)


def _create(principal: Principal, keyed: KeyedRequest, body: Any) -> Answer:
    values = validated(RefundInput, body)
    payment = selectors.get_payment(principal, values["payment_no"])
    return create_refund(
        payment=payment, amount_minor=values["amount"], reason=values["reason"], request=keyed
    )


class RefundView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": REFUNDS_READ}

    @extend_schema(operation_id="refunds_retrieve", responses=REFUND)
    def get(self, request: Request, refund_no: str) -> HttpResponse:
        """One refund."""
        refund = selectors.get_refund(principal_of(request), refund_no)
        return respond(success(refund_body(refund), message=_("Success")))

"""Disputes over HTTP, for reading. `dispute_responses.py` has the responses."""

from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.schema import enveloped, page_schema
from gateway import selectors
from gateway.api.pages import respond_with_page
from gateway.api.serializers.disputes import DisputeOutput, DisputeQuery
from gateway.representation import dispute_body
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ

FILTERS = {"status": "status", "payment_no": "payment__payment_no"}
DISPUTE = enveloped("DisputeAnswer", DisputeOutput())
DISPUTES = enveloped("DisputesAnswer", page_schema("DisputePage", DisputeOutput))


class DisputeListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="disputes_list", parameters=[DisputeQuery], responses=DISPUTES)
    def get(self, request: Request) -> HttpResponse:
        """Disputes, newest first."""
        query = validated_query(DisputeQuery, request)
        disputes = selectors.get_disputes(principal_of(request))
        return respond_with_page(disputes, query, filters=FILTERS, body_of=dispute_body)


class DisputeView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="disputes_retrieve", responses=DISPUTE)
    def get(self, request: Request, dispute_no: str) -> HttpResponse:
        """One dispute."""
        dispute = selectors.get_dispute(principal_of(request), dispute_no)
        return respond(success(dispute_body(dispute), message=_("Success")))

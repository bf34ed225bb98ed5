"""Disputes over HTTP: to read. They are answered at the channel."""

from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.pagination import created_within, page_body, page_of
from common.api.schema import enveloped, page_schema
from gateway import selectors
from gateway.api.serializers import DisputeOutput, DisputeQuery
from gateway.representation import dispute_body
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ

DISPUTE = enveloped("DisputeAnswer", DisputeOutput())
DISPUTES = enveloped("DisputesAnswer", page_schema("DisputePage", DisputeOutput))


class DisputeListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="disputes_list", parameters=[DisputeQuery], responses=DISPUTES)
    def get(self, request: Request) -> HttpResponse:
        """Disputes, newest first."""
        query = validated_query(DisputeQuery, request)
        found = selectors.get_disputes(principal_of(request))
        if "status" in query:
            found = found.filter(status=query["status"])
        if "payment_no" in query:
            found = found.filter(payment__payment_no=query["payment_no"])
        found = created_within(found, query)
        page = page_of(found, cursor=query.get("cursor"), limit=query["limit"])
        return respond(success(page_body(page, dispute_body), message=_("Success")))


class DisputeView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="disputes_retrieve", responses=DISPUTE)
    def get(self, request: Request, dispute_no: str) -> HttpResponse:
        """One dispute."""
        dispute = selectors.get_dispute(principal_of(request), dispute_no)
        return respond(success(dispute_body(dispute), message=_("Success")))

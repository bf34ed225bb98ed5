"""The API of webhook deliveries: list, inspect, resend."""

import uuid
from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import Answer, success
from common.api.fields import NoInput
from common.api.http import respond, validated, validated_query
from common.api.pagination import IndexPrefix, filter_created_range, load_page, page_body
from common.api.schema import ErrorSerializer, enveloped, page_schema
from idempotency.request import read_keyed_request
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import principal_of
from merchants.scopes import WEBHOOKS_MANAGE
from webhooks import representation, resending, selectors
from webhooks.api import serializers
from webhooks.models import DeliveryStatus

DELIVERY = enveloped("WebhookDeliveryAnswer", serializers.DeliveryOutput())
DELIVERY_DETAIL = enveloped("WebhookDeliveryDetailAnswer", serializers.DeliveryWithAttemptsOutput())
DELIVERIES = enveloped(
    "WebhookDeliveriesAnswer", page_schema("WebhookDeliveryPage", serializers.DeliveryOutput)
)


class DeliveryListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_deliveries_list",
        parameters=[serializers.DeliveryQuery],
        responses={200: DELIVERIES, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Lists deliveries, newest first."""
        query = validated_query(serializers.DeliveryQuery, request)
        deliveries = selectors.deliveries_of(principal_of(request))
        if "endpoint_id" in query and not selectors.has_endpoint(principal_of(request), query["endpoint_id"]):
            deliveries = deliveries.none()  # another merchant's endpoint: do not read its deliveries
        columns = {"status": "status", "endpoint_id": "endpoint_id", "event_id": "event__event_id"}
        deliveries = deliveries.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        deliveries = filter_created_range(deliveries, query)
        by_status = (
            IndexPrefix("status", DeliveryStatus.values)
            if "endpoint_id" in query and "status" not in query
            else None
        )
        page = load_page(deliveries, cursor=query.get("cursor"), limit=query["limit"], index_prefix=by_status)
        return respond(success(page_body(page, representation.delivery_body), message=_("Success")))


class DeliveryView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_deliveries_retrieve", responses={200: DELIVERY_DETAIL, "4XX": ErrorSerializer}
    )
    def get(self, request: Request, delivery_id: uuid.UUID) -> HttpResponse:
        """Returns one delivery with all its attempts, oldest first."""
        delivery = selectors.delivery_of(principal_of(request), delivery_id)
        return respond(success(representation.delivery_body_with_attempts(delivery), message=_("Success")))


class DeliveryResendView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_deliveries_resend",
        request=NoInput,
        responses={200: DELIVERY, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, delivery_id: uuid.UUID) -> HttpResponse:
        """Resends the delivery now, under the same webhook-id, whether it was delivered before or not."""
        principal = principal_of(request)
        validated(NoInput, request.data)
        keyed = read_keyed_request(
            request._request,
            tenant=principal.tenant,
            route="/webhook-deliveries/{id}/resend",
            body=request.data,
            target={"id": delivery_id},
        )

        def resend(_resource_id: uuid.UUID) -> Answer:
            delivery = resending.resend_delivery(principal=principal, delivery_id=delivery_id)
            return success(representation.delivery_body(delivery), message=_("Accepted"))

        return respond(write_in_one_commit(keyed, write=resend))

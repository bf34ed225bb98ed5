"""The API of webhook endpoints."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import Answer, success
from common.api.fields import NoInput
from common.api.http import respond, validated, validated_query
from common.api.pagination import load_page, page_body
from common.api.schema import ErrorSerializer, enveloped, page_schema
from idempotency.request import read_keyed_request
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import principal_of
from merchants.scopes import WEBHOOKS_MANAGE
from merchants.secret_writes import SecretResponse, write_secret_once
from webhooks import endpoints, representation, resending, selectors
from webhooks.api import serializers
from webhooks.endpoints import NewSecret

ENDPOINT = enveloped("WebhookEndpointAnswer", serializers.EndpointOutput())
ENDPOINTS = enveloped(
    "WebhookEndpointsAnswer", page_schema("WebhookEndpointPage", serializers.EndpointOutput)
)
ENDPOINT_SECRET = enveloped("WebhookEndpointSecretAnswer", serializers.EndpointSecretOutput())
DELETED = enveloped("WebhookEndpointDeletedAnswer", serializers.DeletedOutput())
TEST_SENT = enveloped("WebhookTestAnswer", serializers.DeliveryOutput())
RESENT = enveloped("WebhookResentAnswer", serializers.ResentOutput())


class EndpointListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": WEBHOOKS_MANAGE, "POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_endpoints_list",
        parameters=[serializers.EndpointQuery],
        responses={200: ENDPOINTS, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Lists endpoints, newest first, including the one that signs for the `callback_url` of payments."""
        query = validated_query(serializers.EndpointQuery, request)
        rows = selectors.endpoints_of(principal_of(request))
        page = load_page(rows, cursor=query.get("cursor"), limit=query["limit"])
        return respond(success(page_body(page, representation.endpoint_body), message=_("Success")))

    @extend_schema(
        operation_id="webhook_endpoints_create",
        request=serializers.EndpointInput,
        responses={200: ENDPOINT_SECRET, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Registers an endpoint. The response shows its signing secret once; a replay does not."""
        principal, values = principal_of(request), validated(serializers.EndpointInput, request.data)
        endpoints.require_reachable(values["url"])

        def register(endpoint_id: uuid.UUID) -> SecretResponse:
            return _secret_response(
                endpoints.register_endpoint(
                    principal=principal,
                    endpoint_id=endpoint_id,
                    url=values["url"],
                    event_types=values.get("event_types", []),
                    description=values["description"],
                )
            )

        return write_secret_once(request, "/webhook-endpoints", write=register, message=_("Created"))


class EndpointView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {
        "GET": WEBHOOKS_MANAGE,
        "PATCH": WEBHOOKS_MANAGE,
        "DELETE": WEBHOOKS_MANAGE,
    }

    @extend_schema(
        operation_id="webhook_endpoints_retrieve", responses={200: ENDPOINT, "4XX": ErrorSerializer}
    )
    def get(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Returns one endpoint."""
        endpoint = selectors.endpoint_of(principal_of(request), endpoint_id)
        return respond(success(representation.endpoint_body(endpoint), message=_("Success")))

    @extend_schema(
        operation_id="webhook_endpoints_update",
        request=serializers.EndpointChange,
        responses={200: ENDPOINT, "4XX": ErrorSerializer},
    )
    def patch(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Changes the given fields. When a disabled endpoint is enabled, its pending deliveries continue."""
        principal, changes = principal_of(request), validated(serializers.EndpointChange, request.data)
        if "url" in changes:
            endpoints.require_reachable(changes["url"])

        def change(_resource_id: uuid.UUID) -> Mapping[str, Any]:
            changed = endpoints.update_endpoint(principal=principal, endpoint_id=endpoint_id, changes=changes)
            return representation.endpoint_body(changed)

        return _write_once(
            request, endpoint_id, "/webhook-endpoints/{id}", write=change, message=_("Changed")
        )

    @extend_schema(operation_id="webhook_endpoints_delete", responses={200: DELETED, "4XX": ErrorSerializer})
    def delete(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Deletes an endpoint and cancels its pending deliveries."""
        endpoints.delete_endpoint(principal=principal_of(request), endpoint_id=endpoint_id)
        return respond(success({"id": str(endpoint_id), "deleted": True}, message=_("Deleted")))


class RotateSecretView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_endpoints_rotate_secret",
        request=NoInput,
        responses={200: ENDPOINT_SECRET, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Makes a new signing secret, shown once. For 24 hours the old one signs as well."""
        principal = principal_of(request)
        validated(NoInput, request.data)

        def rotate(_resource_id: uuid.UUID) -> SecretResponse:
            return _secret_response(endpoints.rotate_secret(principal=principal, endpoint_id=endpoint_id))

        route = "/webhook-endpoints/{id}/rotate-secret"
        return write_secret_once(
            request, route, target={"id": endpoint_id}, write=rotate, message=_("Created")
        )


class RotateCallbackSecretView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_endpoints_rotate_callback_secret",
        request=NoInput,
        responses={200: ENDPOINT_SECRET, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Makes a new signing secret for calls to `callback_url`, shown once: the way to get the first one, too."""
        principal = principal_of(request)
        validated(NoInput, request.data)

        def rotate(_resource_id: uuid.UUID) -> SecretResponse:
            return _secret_response(endpoints.rotate_callback_secret(principal=principal))

        route = "/webhook-endpoints/callback/rotate-secret"
        return write_secret_once(request, route, write=rotate, message=_("Created"))


class TestEndpointView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_endpoints_test",
        request=NoInput,
        responses={200: TEST_SENT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Sends a `webhook.test` event to this endpoint only. Its delivery shows the outcome."""
        principal = principal_of(request)
        validated(NoInput, request.data)

        def send(_resource_id: uuid.UUID) -> Mapping[str, Any]:
            return representation.delivery_body(
                endpoints.send_test_event(principal=principal, endpoint_id=endpoint_id)
            )

        route = "/webhook-endpoints/{id}/test"
        return _write_once(request, endpoint_id, route, write=send, message=_("Created"))


class ResendView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": WEBHOOKS_MANAGE}

    @extend_schema(
        operation_id="webhook_endpoints_resend",
        request=serializers.ResendInput,
        responses={200: RESENT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        """Resends all failed deliveries or, with both times, every event of that period. At most 1000 in a call."""
        principal, period = principal_of(request), validated(serializers.ResendInput, request.data)

        def resend(_resource_id: uuid.UUID) -> Mapping[str, Any]:
            if period:
                result = resending.resend_events_between(
                    principal=principal, endpoint_id=endpoint_id, **period
                )
            else:
                result = resending.resend_failed_deliveries(principal=principal, endpoint_id=endpoint_id)
            return {"resent": result.count, "more": result.has_more}

        route = "/webhook-endpoints/{id}/resend"
        return _write_once(request, endpoint_id, route, write=resend, message=_("Accepted"))


def _secret_response(new: NewSecret) -> SecretResponse:
    return SecretResponse(
        body=representation.endpoint_body_with_secret(new),
        replay_body=representation.endpoint_body_in_replay(new),
    )


def _write_once(
    request: Request,
    target: uuid.UUID,
    route: str,
    *,
    write: Callable[[uuid.UUID], Mapping[str, Any]],
    message: str,
) -> HttpResponse:
    keyed = read_keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=route,
        body=request.data,
        target={"id": target},
    )

    def answer(resource_id: uuid.UUID) -> Answer:
        return success(write(resource_id), message=message)

    return respond(write_in_one_commit(keyed, write=answer))

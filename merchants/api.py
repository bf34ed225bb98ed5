"""The API of merchants and their API keys. Views translate; services decide."""

import datetime as dt
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.fields import NoInput, PageQuery
from common.api.http import respond, validated, validated_query
from common.api.pagination import load_page, page_body
from common.api.schema import ErrorSerializer, enveloped, page_schema
from merchants import representation, selectors, serializers, services
from merchants.principal import principal_of
from merchants.scopes import ANY_KEY, KEYS_MANAGE
from merchants.secret_writes import SecretResponse, write_secret_once
from merchants.services import NewKey

MERCHANT = enveloped("MerchantAnswer", serializers.MerchantSerializer())
KEYS = enveloped("ApiKeysAnswer", page_schema("ApiKeyPage", serializers.ApiKeySerializer))
KEY = enveloped("ApiKeyAnswer", serializers.ApiKeySerializer())
NEW_KEY = enveloped("NewApiKeyAnswer", serializers.NewApiKeySerializer())
ROTATED_KEY = enveloped("RotatedApiKeyAnswer", serializers.RotatedApiKeySerializer())


class MerchantView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": ANY_KEY}

    @extend_schema(
        operation_id="merchant_retrieve",
        responses={200: MERCHANT, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Returns the merchant of the key, and the scopes of the key."""
        principal = principal_of(request)
        merchant = selectors.merchant_by_id(merchant_id=principal.merchant_id)
        return respond(success(representation.merchant_body(merchant, principal), message=_("Success")))


class ApiKeysView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": KEYS_MANAGE, "POST": KEYS_MANAGE}

    @extend_schema(
        operation_id="api_keys_list",
        parameters=[PageQuery],
        responses={200: KEYS, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Lists the keys of this environment, newest first, including expired and revoked ones."""
        principal = principal_of(request)
        query = validated_query(PageQuery, request)
        found = selectors.keys_of(merchant_id=principal.merchant_id, environment=principal.environment)
        page, now = load_page(found, cursor=query.get("cursor"), limit=query["limit"]), timezone.now()
        body = page_body(page, lambda key: representation.key_body(key, now=now))
        return respond(success(body, message=_("Success")))

    @extend_schema(
        operation_id="api_keys_create",
        request=serializers.IssueKeySerializer,
        responses={200: NEW_KEY, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Issues another key. The response shows the key and its secret once; a replay does not.

        Fields that are left out are taken from the requesting key. A restricted key cannot issue a wider one.
        """
        principal, values = principal_of(request), validated(serializers.IssueKeySerializer, request.data)

        def issue(new_key_id: UUID) -> SecretResponse:
            new = services.issue_key(
                merchant_id=principal.merchant_id,
                environment=principal.environment,
                key_id=new_key_id,
                issued_by=principal.key_id,
                **values,
            )
            return _new_key_response(new)

        return write_secret_once(request, "/merchant/api-keys", write=issue, message=_("Created"))


class RotateApiKeyView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": KEYS_MANAGE}

    @extend_schema(
        operation_id="api_keys_rotate",
        request=serializers.RotateKeySerializer,
        responses={200: ROTATED_KEY, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, key_id: UUID) -> HttpResponse:
        """Issues a successor. The old key stays valid for `overlap_seconds`, by default 24 hours.

        The successor has the old key's scopes and networks. A restricted key cannot rotate a wider one.
        """
        principal, values = principal_of(request), validated(serializers.RotateKeySerializer, request.data)

        def rotate(new_key_id: UUID) -> SecretResponse:
            rotation = services.rotate_key(
                merchant_id=principal.merchant_id,
                environment=principal.environment,
                key_id=key_id,
                new_key_id=new_key_id,
                rotated_by=principal.key_id,
                overlap=dt.timedelta(seconds=values["overlap_seconds"]),
            )
            return _new_key_response(
                rotation.new, replaces=representation.key_body(rotation.old, now=timezone.now())
            )

        route = "/merchant/api-keys/{id}/rotate"
        return write_secret_once(request, route, target={"id": key_id}, write=rotate, message=_("Created"))


class RevokeApiKeyView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": KEYS_MANAGE}

    @extend_schema(
        operation_id="api_keys_revoke",
        request=NoInput,
        responses={200: KEY, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, key_id: UUID) -> HttpResponse:
        """Revokes a key at once. The last key that manages keys from any address cannot be revoked."""
        principal = principal_of(request)
        validated(NoInput, request.data)

        def revoke(_resource_id: UUID) -> SecretResponse:
            key = services.revoke_key(
                merchant_id=principal.merchant_id, environment=principal.environment, key_id=key_id
            )
            body = representation.key_body(key, now=timezone.now())
            return SecretResponse(body=body, replay_body=body)

        route = "/merchant/api-keys/{id}/revoke"
        return write_secret_once(request, route, target={"id": key_id}, write=revoke, message=_("Revoked"))


def _new_key_response(new: NewKey, **more: Any) -> SecretResponse:
    body = representation.key_body(new.api_key, now=timezone.now())
    return SecretResponse(
        body={**body, **representation.secret_fields(new), **more},
        replay_body={**body, **representation.secret_fields_in_replay(), **more},
    )

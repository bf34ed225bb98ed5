"""The API of a merchant's channel accounts. Credentials come in and never go out."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db import transaction
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from channel_accounts import audited_changes, selectors, serializers, services
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channel_accounts.representation import account_body
from channel_accounts.services import CheckedCredentials
from common.api.envelope import Answer, success
from common.api.fields import NoInput
from common.api.http import respond, validated, validated_query
from common.api.pagination import load_page, page_body
from common.api.schema import ErrorSerializer, enveloped, page_schema
from common.errors import ApiError
from idempotency.request import KeyedRequest, read_keyed_request
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from idempotency.services.finish_claim import finish_claim, write_in_one_commit
from merchants.principal import principal_of
from merchants.scopes import CHANNEL_ACCOUNTS_READ, CHANNEL_ACCOUNTS_WRITE

ACCOUNT = enveloped("ChannelAccountAnswer", serializers.AccountOutput())
ACCOUNTS = enveloped("ChannelAccountsAnswer", page_schema("ChannelAccountPage", serializers.AccountOutput))

ROUTE = "/channel-accounts"


class AccountListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": CHANNEL_ACCOUNTS_READ, "POST": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(
        operation_id="channel_accounts_list",
        parameters=[serializers.AccountQuery],
        responses={200: ACCOUNTS, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Lists the merchant's own accounts at channels, newest first, disabled ones included."""
        query = validated_query(serializers.AccountQuery, request)
        rows = selectors.get_accounts(principal_of(request))
        for name in ("channel", "status"):
            if name in query:
                rows = rows.filter(**{name: query[name]})
        page = load_page(rows, cursor=query.get("cursor"), limit=query["limit"])
        return respond(success(page_body(page, account_body), message=_("Success")))

    @extend_schema(
        operation_id="channel_accounts_create",
        request=serializers.AccountInput,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Adds an account. The channel checks the credentials first; from then on it takes the new payments.

        Enter `webhook_url` of the response at the channel.
        """
        principal, values = principal_of(request), validated(serializers.AccountInput, request.data)
        services.validate_new_credentials(
            channel=values["channel"],
            credentials=values["credentials"],
            payment_methods=values.get("payment_methods", []),
        )

        def check() -> CheckedCredentials:
            return services.check_new_credentials(
                channel=values["channel"],
                environment=principal.environment,
                credentials=values["credentials"],
                save_unchecked=values["save_unchecked"],
            )

        def create(account_id: uuid.UUID, checked: CheckedCredentials) -> StoredChannelAccount:
            return audited_changes.create_account(
                actor=_get_actor(request),
                merchant_id=principal.merchant_id,
                environment=principal.environment,
                channel=values["channel"],
                display_name=values["display_name"],
                checked=checked,
                payment_methods=values.get("payment_methods", []),
                account_id=account_id,
            )

        keyed = _read_keyed(request, ROUTE)
        return _write_after_check(keyed, check=check, write=create, message=_("Created"))


class AccountView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": CHANNEL_ACCOUNTS_READ, "PATCH": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(operation_id="channel_accounts_retrieve", responses={200: ACCOUNT, "4XX": ErrorSerializer})
    def get(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Returns one account."""
        account = selectors.get_account(principal_of(request), account_id)
        return respond(success(account_body(account), message=_("Success")))

    @extend_schema(
        operation_id="channel_accounts_update",
        request=serializers.AccountChange,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def patch(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Changes the name or the enabled payment methods."""
        changes = validated(serializers.AccountChange, request.data)
        account = selectors.get_account(principal_of(request), account_id)

        def change(_resource_id: uuid.UUID) -> Answer:
            changed = audited_changes.update_account(
                account_id=account.id, actor=_get_actor(request), **changes
            )
            return success(account_body(changed), message=_("Changed"))

        keyed = _read_keyed(request, f"{ROUTE}/{{id}}", account_id)
        return respond(write_in_one_commit(keyed, write=change))


class RotateAccountView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(
        operation_id="channel_accounts_rotate",
        request=serializers.RotateCredentialsInput,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Replaces the credentials after the channel has accepted the new ones.

        For `overlap_seconds`, by default 24 hours, webhooks that are signed with the previous ones are accepted too.
        """
        values = validated(serializers.RotateCredentialsInput, request.data)
        account = selectors.get_account(principal_of(request), account_id)
        services.validate_new_credentials(channel=account.channel, credentials=values["credentials"])
        services.require_own_keys(account)

        def check() -> CheckedCredentials:
            return services.check_new_credentials(
                channel=account.channel,
                environment=account.environment,
                credentials=values["credentials"],
                save_unchecked=values["save_unchecked"],
            )

        def rotate(_resource_id: uuid.UUID, checked: CheckedCredentials) -> StoredChannelAccount:
            overlap = dt.timedelta(seconds=values["overlap_seconds"])
            return audited_changes.rotate_credentials(
                account_id=account.id, checked=checked, overlap=overlap, actor=_get_actor(request)
            )

        keyed = _read_keyed(request, f"{ROUTE}/{{id}}/rotate", account_id)
        return _write_after_check(keyed, check=check, write=rotate, message=_("Changed"))


class CheckAccountView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(
        operation_id="channel_accounts_check",
        request=NoInput,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Checks the credentials at the channel with a call that changes nothing; `last_check_result` is the result."""
        validated(NoInput, request.data)
        account = selectors.get_account(principal_of(request), account_id)

        def check() -> CheckedCredentials:
            return services.check_stored_credentials(account=account)

        def record(_resource_id: uuid.UUID, checked: CheckedCredentials) -> StoredChannelAccount:
            return audited_changes.record_check(
                account_id=account.id, checked=checked, actor=_get_actor(request)
            )

        keyed = _read_keyed(request, f"{ROUTE}/{{id}}/check", account_id)
        return _write_after_check(keyed, check=check, write=record, message=_("Success"))


class DisableAccountView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(
        operation_id="channel_accounts_disable",
        request=NoInput,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Gives the account no new payments. Its existing ones are still captured, cancelled and refunded."""
        return _set_status(request, account_id, AccountStatus.DISABLED, "disable")


class EnableAccountView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": CHANNEL_ACCOUNTS_WRITE}

    @extend_schema(
        operation_id="channel_accounts_enable",
        request=NoInput,
        responses={200: ACCOUNT, "4XX": ErrorSerializer},
    )
    def post(self, request: Request, account_id: uuid.UUID) -> HttpResponse:
        """Gives the account new payments again."""
        return _set_status(request, account_id, AccountStatus.ACTIVE, "enable")


def _set_status(request: Request, account_id: uuid.UUID, status: AccountStatus, verb: str) -> HttpResponse:
    validated(NoInput, request.data)
    account = selectors.get_account(principal_of(request), account_id)

    def change(_resource_id: uuid.UUID) -> Answer:
        changed = audited_changes.set_account_status(
            account_id=account.id, status=status, actor=_get_actor(request)
        )
        return success(account_body(changed), message=_("Changed"))

    keyed = _read_keyed(request, f"{ROUTE}/{{id}}/{verb}", account_id)
    return respond(write_in_one_commit(keyed, write=change))


def _get_actor(request: Request) -> str:
    return audited_changes.format_api_key_actor(principal_of(request).key_id)


def _read_keyed(request: Request, route: str, account_id: uuid.UUID | None = None) -> KeyedRequest:
    target: Mapping[str, Any] | None = {"id": account_id} if account_id else None
    return read_keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=route,
        body=dict(request.data),
        target=target,
    )


def _write_after_check(
    keyed: KeyedRequest,
    *,
    check: Callable[[], CheckedCredentials],
    write: Callable[[uuid.UUID, CheckedCredentials], StoredChannelAccount],
    message: str,
) -> HttpResponse:
    """Claims the key, calls the channel outside any transaction, then writes and answers in one commit. A refusal
    before anything was written frees the key."""

    def begin(_claim: Claim[None]) -> None:
        """Nothing is written before the check."""

    def check_and_write(claim: Claim[None]) -> Answer:
        try:
            return check_then_write(claim)
        except ApiError:
            claim.abandon()
            raise

    def check_then_write(claim: Claim[None]) -> Answer:
        checked = check()
        with transaction.atomic(durable=True):
            answer = success(account_body(write(claim.resource_id, checked)), message=message)
            claim.complete(answer)
            if claim.is_superseded:
                transaction.set_rollback(True)
        return answer

    return respond(finish_claim(claim_key(keyed, begin=begin), work=check_and_write))

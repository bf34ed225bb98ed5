"""The merchant's balance, and what changed it, over HTTP."""

from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.pagination import IndexPrefix, filter_created_range, load_page, page_body
from common.api.schema import enveloped, page_schema
from ledger import selectors
from ledger.api.serializers import BalanceOutput, BalanceTransactionOutput, BalanceTransactionQuery
from ledger.balances import read_merchant_balances
from ledger.models import LedgerTransfer
from ledger.representation import (
    BALANCE_TRANSACTION_TYPES,
    PAYOUT_EVENTS,
    balance_body,
    balance_transaction_body,
)
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ

BALANCE = enveloped("BalanceAnswer", BalanceOutput())
TRANSACTIONS = enveloped(
    "BalanceTransactionsAnswer", page_schema("BalanceTransactionPage", BalanceTransactionOutput)
)


class BalanceView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="balance_retrieve", responses=BALANCE)
    def get(self, request: Request) -> HttpResponse:
        """Your balance in each currency."""
        principal = principal_of(request)
        balances = read_merchant_balances(
            merchant_id=principal.merchant_id, environment=principal.environment
        )
        return respond(success(balance_body(balances, principal.environment), message=_("Success")))


class BalanceTransactionListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(
        operation_id="balance_transactions_list",
        parameters=[BalanceTransactionQuery],
        responses=TRANSACTIONS,
    )
    def get(self, request: Request) -> HttpResponse:
        """What changed your balance, newest first."""
        query = validated_query(BalanceTransactionQuery, request)
        chosen = [query["type"]] if "type" in query else BALANCE_TRANSACTION_TYPES
        events = [event for each in chosen for event in BALANCE_TRANSACTION_TYPES[each]]
        transfers = selectors.get_balance_transactions(principal_of(request)).filter(event__in=events)
        if "payout" in query:
            transfers = transfers.filter(source=query["payout"], event__in=PAYOUT_EVENTS)
        transfers = filter_created_range(transfers, query)
        by_event = IndexPrefix("event", events) if len(events) > 1 else None
        page = load_page(
            transfers,
            cursor=query.get("cursor"),
            limit=query["limit"],
            index_prefix=by_event,
        )
        amounts = selectors.sum_merchant_amounts([transfer.id for transfer in page.rows])

        def render(transfer: LedgerTransfer) -> dict[str, object]:
            return balance_transaction_body(transfer, amounts[transfer.id])

        return respond(success(page_body(page, render), message=_("Success")))

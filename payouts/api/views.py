"""Payouts and the payable balance over HTTP, for reading."""

from typing import ClassVar

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.pagination import filter_created_range, load_page, page_body
from common.api.schema import enveloped, page_schema
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ
from payouts import selectors
from payouts.api.serializers import PayableBalanceOutput, PayoutOutput, PayoutQuery
from payouts.errors import NoPayoutPlan, PayoutsUnavailable
from payouts.payable import read_payable_balances
from payouts.representation import payable_body, payout_body

PAYOUT = enveloped("PayoutAnswer", PayoutOutput())
PAYOUTS = enveloped("PayoutsAnswer", page_schema("PayoutPage", PayoutOutput))
PAYABLE_BALANCE = enveloped("PayableBalanceAnswer", PayableBalanceOutput())


def _require_funds_held() -> None:
    """Zeros would say that the merchant has earned nothing."""
    if not settings.HOLDS_MERCHANT_FUNDS:
        raise PayoutsUnavailable


class PayoutListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="payouts_list", parameters=[PayoutQuery], responses=PAYOUTS)
    def get(self, request: Request) -> HttpResponse:
        """Payouts, newest first."""
        _require_funds_held()
        query = validated_query(PayoutQuery, request)
        payouts = selectors.get_payouts(principal_of(request))
        if "status" in query:
            payouts = payouts.filter(status=query["status"])
        payouts = filter_created_range(payouts, query)
        page = load_page(payouts, cursor=query.get("cursor"), limit=query["limit"])
        return respond(success(page_body(page, payout_body), message=_("Success")))


class PayoutView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="payouts_retrieve", responses=PAYOUT)
    def get(self, request: Request, payout_no: str) -> HttpResponse:
        """One payout."""
        _require_funds_held()
        payout = selectors.get_payout(principal_of(request), payout_no)
        return respond(success(payout_body(payout), message=_("Success")))


class PayableBalanceView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="payable_balance_retrieve", responses=PAYABLE_BALANCE)
    def get(self, request: Request) -> HttpResponse:
        """What is payable in each currency, and what a hold or reserve keeps back."""
        _require_funds_held()
        principal = principal_of(request)
        plan = selectors.find_plan(merchant_id=principal.merchant_id, environment=principal.environment)
        if plan is None:
            raise NoPayoutPlan
        balances = read_payable_balances(
            plan=plan, merchant_id=principal.merchant_id, environment=principal.environment
        )
        body = {
            "balances": [payable_body(each) for each in balances],
            "environment": principal.environment,
        }
        return respond(success(body, message=_("Success")))

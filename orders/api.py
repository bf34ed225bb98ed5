"""The API of orders. Cancelling an order involves its payment, so the gateway has that endpoint."""

import uuid
from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import Answer, success
from common.api.http import respond, validated, validated_query
from common.api.pagination import filter_created_range, load_page, page_body
from common.api.schema import enveloped, page_schema
from idempotency.request import read_keyed_request
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import principal_of
from merchants.scopes import ORDERS_READ, ORDERS_WRITE
from orders import selectors, services
from orders.representation import order_body
from orders.serializers import OrderInput, OrderOutput, OrderQuery

ORDER = enveloped("OrderAnswer", OrderOutput())
ORDERS = enveloped("OrdersAnswer", page_schema("OrderPage", OrderOutput))


class OrderListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": ORDERS_READ, "POST": ORDERS_WRITE}

    @extend_schema(operation_id="orders_create", request=OrderInput, responses=ORDER)
    def post(self, request: Request) -> HttpResponse:
        """Places an order. It can be paid by a payment with the same `order_no`, amount and currency."""
        principal, values = principal_of(request), validated(OrderInput, request.data)
        items = values.pop("items", ())
        draft = services.OrderDraft(
            merchant_id=principal.merchant_id,
            environment=principal.environment,
            items=tuple(services.ItemDraft(**item) for item in items),
            **values,
        )
        keyed = read_keyed_request(
            request._request,
            tenant=principal.tenant,
            route="/orders",
            body=request.data,
            lenient_fields=principal.lenient_fields,
        )

        def place(order_id: uuid.UUID) -> Answer:
            order = services.place_order(order_id=order_id, draft=draft)
            return success(order_body(order), message=_("Created"))

        return respond(write_in_one_commit(keyed, write=place))

    @extend_schema(operation_id="orders_list", parameters=[OrderQuery], responses=ORDERS)
    def get(self, request: Request) -> HttpResponse:
        """Orders, newest first."""
        query = validated_query(OrderQuery, request)
        found = selectors.list_orders(principal_of(request))
        if "status" in query:
            found = found.filter(status=query["status"])
        found = filter_created_range(found, query)
        page = load_page(found, cursor=query.get("cursor"), limit=query["limit"])
        return respond(success(page_body(page, order_body), message=_("Success")))


class OrderView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": ORDERS_READ}

    @extend_schema(operation_id="orders_retrieve", responses=ORDER)
    def get(self, request: Request, order_no: str) -> HttpResponse:
        """One order, with its items."""
        order = selectors.get_order(principal_of(request), order_no)
        return respond(success(order_body(order), message=_("Success")))

"""The allowed transitions of orders, by the code, the database and the documents."""

import pytest

from merchants.services import NewMerchant
from orders.models import ORDER_TRANSITIONS, Order, OrderStatus
from tests.support.transitions import pairs_in_documents, pairs_of, pairs_the_database_accepts

pytestmark = pytest.mark.django_db


def test_code_database_and_documents_agree(acme: NewMerchant) -> None:
    def insert(status: str) -> Order:
        return Order.objects.create(
            order_no="ORDER-1",
            merchant=acme.merchant,
            environment="test",
            amount_minor=100,
            currency="USD",
            status=status,
            subject="Tea",
        )

    accepted = pairs_the_database_accepts(OrderStatus, insert, refused_by="order_status_moves_on")
    assert accepted == pairs_of(ORDER_TRANSITIONS) == pairs_in_documents("order")

"""The upper bound of a Django project: a DRF view that validates a body and inserts one row."""

from typing import Any

from django.db import connection
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

TABLE = """
CREATE TABLE IF NOT EXISTS benchmark_rows (id bigserial PRIMARY KEY, order_no text, amount bigint, currency text)
"""


class BareSerializer(serializers.Serializer[Any]):
    order_no = serializers.CharField(max_length=64)
    amount = serializers.IntegerField(min_value=1)
    currency = serializers.CharField(max_length=3)


class BareView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        serializer = BareSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO benchmark_rows (order_no, amount, currency)"
                " VALUES (%(order_no)s, %(amount)s, %(currency)s) RETURNING id",
                serializer.validated_data,
            )
            (row_id,) = cursor.fetchone()
        return Response({"id": row_id})

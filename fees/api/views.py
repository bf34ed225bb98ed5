"""Statements and their files over HTTP."""

import uuid
from collections.abc import Iterable
from typing import ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.pagination import IndexPrefix, filter_created_range, load_page, page_body
from common.api.schema import enveloped, page_schema
from fees import selectors
from fees.api.serializers import StatementOutput, StatementQuery
from fees.models import StatementPeriod
from fees.representation import statement_body
from fees.statement_files import send_csv, send_pdf
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ

STATEMENTS = enveloped("StatementsAnswer", page_schema("StatementPage", StatementOutput))


class StatementListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(operation_id="statements_list", parameters=[StatementQuery], responses=STATEMENTS)
    def get(self, request: Request) -> HttpResponse:
        """Statements of the days and months that are over, newest first."""
        query = validated_query(StatementQuery, request)
        periods = [query["period"]] if "period" in query else StatementPeriod.values
        statements = selectors.get_statements(principal_of(request)).filter(period__in=periods)
        page = load_page(
            filter_created_range(statements, query),
            cursor=query.get("cursor"),
            limit=query["limit"],
            index_prefix=IndexPrefix("period", periods) if len(periods) > 1 else None,
        )
        return respond(success(page_body(page, statement_body), message=_("Success")))


class _AnyType(BaseContentNegotiation):
    """A file has one type, whatever the client accepts. Errors are JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class StatementCsvView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}
    content_negotiation_class = _AnyType

    @extend_schema(operation_id="statements_csv", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, statement_id: uuid.UUID) -> HttpResponseBase:
        """The statement as CSV, with each transaction."""
        return send_csv(selectors.get_statement(principal_of(request), statement_id))


class StatementPdfView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}
    content_negotiation_class = _AnyType

    @extend_schema(operation_id="statements_pdf", responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, statement_id: uuid.UUID) -> HttpResponseBase:
        """The statement as PDF, in the language of the request."""
        return send_pdf(selectors.get_statement(principal_of(request), statement_id))

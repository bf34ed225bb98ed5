"""Responses to disputes over HTTP: the draft of the evidence, its submission, and the acceptance of a loss."""

import base64
import binascii
from collections.abc import Callable
from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import Answer, success
from common.api.fields import NoInput
from common.api.http import respond, validated
from common.api.schema import ErrorSerializer, enveloped
from common.errors import NotFound, ValidationFailed
from gateway import selectors
from gateway.api.serializers.dispute_responses import (
    DisputeResponseOutput,
    EvidenceFileInput,
    EvidenceInput,
)
from gateway.models import Dispute, DisputeResponse, ResponseKind
from gateway.representation import dispute_response_body
from gateway.services.dispute_evidence import add_file, change_draft, count_pages_of_evidence
from gateway.services.respond_to_dispute import respond_to_dispute
from idempotency.request import KeyedRequest, read_keyed_request
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ, PAYMENTS_WRITE

RESPONSE = enveloped("DisputeResponseAnswer", DisputeResponseOutput())
WRITTEN = {200: RESPONSE, "4XX": ErrorSerializer}
SUBMITTED = {200: RESPONSE, 202: RESPONSE, "4XX": ErrorSerializer}


class EvidenceView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ, "POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="dispute_evidence_retrieve", responses=RESPONSE)
    def get(self, request: Request, dispute_no: str) -> HttpResponse:
        """The newest response: the draft, or what was submitted. 404 when nothing was written yet."""
        dispute = selectors.get_dispute(principal_of(request), dispute_no)
        response = dispute.responses.select_related("dispute").order_by("-created_at", "-id").first()
        if response is None:
            raise NotFound({"dispute_no": dispute.dispute_no})
        return respond(success(dispute_response_body(response), message=_("Success")))

    @extend_schema(operation_id="dispute_evidence_update", request=EvidenceInput, responses=WRITTEN)
    def post(self, request: Request, dispute_no: str) -> HttpResponse:
        """Sets text fields of the draft. Nothing is sent to the bank."""
        values = validated(EvidenceInput, request.data)
        dispute = selectors.get_dispute(principal_of(request), dispute_no)
        return _write(
            request, dispute, "evidence", lambda: change_draft(dispute=dispute, texts=values["texts"])
        )


class EvidenceFileView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="dispute_evidence_file", request=EvidenceFileInput, responses=WRITTEN)
    def post(self, request: Request, dispute_no: str) -> HttpResponse:
        """Adds a file to the draft, in place of an earlier one of the same field. Nothing is sent to the bank."""
        principal, values = principal_of(request), validated(EvidenceFileInput, request.data)
        dispute = selectors.get_dispute(principal, dispute_no)
        content = _decode(values["content"])
        page_count = count_pages_of_evidence(dispute=dispute, content=content)

        def write() -> DisputeResponse:
            return add_file(
                dispute=dispute,
                field=values["field"],
                name=values["name"],
                content=content,
                page_count=page_count,
                uploaded_by=str(principal.tenant),
            )

        return _write(request, dispute, "evidence/files", write)


class DisputeSubmitView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="disputes_submit", request=NoInput, responses=SUBMITTED)
    def post(self, request: Request, dispute_no: str) -> HttpResponse:
        """Submits the draft to the bank, for good. A bank takes evidence once."""
        return _answer(request, dispute_no, ResponseKind.EVIDENCE, "submit")


class DisputeAcceptView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"POST": PAYMENTS_WRITE}

    @extend_schema(operation_id="disputes_accept", request=NoInput, responses=SUBMITTED)
    def post(self, request: Request, dispute_no: str) -> HttpResponse:
        """Accepts that the dispute is lost, for good."""
        return _answer(request, dispute_no, ResponseKind.ACCEPTANCE, "accept")


def _answer(request: Request, dispute_no: str, kind: ResponseKind, action: str) -> HttpResponse:
    principal = principal_of(request)
    validated(NoInput, request.data)
    dispute = selectors.get_dispute(principal, dispute_no)
    return respond(
        respond_to_dispute(
            dispute=dispute,
            kind=kind,
            submitted_by=str(principal.tenant),
            request=_keyed(request, dispute, action),
        )
    )


def _write(
    request: Request, dispute: Dispute, action: str, write: Callable[[], DisputeResponse]
) -> HttpResponse:
    def write_draft(_id: object) -> Answer:
        return success(dispute_response_body(write()), message=_("Success"))

    return respond(write_in_one_commit(_keyed(request, dispute, action), write=write_draft))


def _keyed(request: Request, dispute: Dispute, action: str) -> KeyedRequest:
    return read_keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=f"/disputes/{{dispute_no}}/{action}",
        body=request.data,
        target={"dispute_no": dispute.dispute_no},
    )


def _decode(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValidationFailed({"content": [_("This is not base64.")]}) from error

"""Responds to disputes at Stripe (docs.stripe.com/disputes/responding, docs.stripe.com/api/disputes/update)."""

import io
from typing import Any

import stripe

from channels.base import (
    AcceptDispute,
    DisputeRef,
    DisputeResult,
    EvidenceRules,
    FileResult,
    Reported,
    SubmitEvidence,
    UploadEvidence,
)
from channels.stripe.dispute_objects import read_dispute
from channels.stripe.fields import read_text

# The published lengths (docs.stripe.com/api/disputes/evidence_object).
_LONG, _SHORT = 20_000, 5_000
RULES = EvidenceRules(
    text_fields={
        "access_activity_log": _LONG,
        "billing_address": _SHORT,
        "cancellation_policy_disclosure": _LONG,
        "cancellation_rebuttal": _LONG,
        "customer_email_address": _SHORT,
        "customer_name": _SHORT,
        "customer_purchase_ip": _SHORT,
        "duplicate_charge_explanation": _LONG,
        "duplicate_charge_id": _SHORT,
        "product_description": _LONG,
        "refund_policy_disclosure": _LONG,
        "refund_refusal_explanation": _LONG,
        "service_date": _SHORT,
        "shipping_address": _SHORT,
        "shipping_carrier": _SHORT,
        "shipping_date": _SHORT,
        "shipping_tracking_number": _SHORT,
        "uncategorized_text": _LONG,
    },
    file_fields=frozenset(
        (
            "cancellation_policy",
            "customer_communication",
            "customer_signature",
            "duplicate_charge_documentation",
            "receipt",
            "refund_policy",
            "service_documentation",
            "shipping_documentation",
            "uncategorized_file",
        )
    ),
    # docs.stripe.com/disputes/best-practices, docs.stripe.com/file-upload: PDF, JPEG and PNG; together at most 4.5 MB,
    # fewer than 50 pages, and 150,000 characters.
    content_types=frozenset(("application/pdf", "image/jpeg", "image/png")),
    max_text_characters=150_000,
    max_bytes=4_500_000,
    max_pages=49,
)


def upload_evidence(api: stripe.StripeClient, request: UploadEvidence) -> FileResult:
    file = io.BytesIO(request.content)
    file.name = request.name
    params: Any = {"purpose": "dispute_evidence", "file": file}
    uploaded = api.v1.files.create(params, {"idempotency_key": request.key})
    return Reported(read_text(uploaded.to_dict(), "id"))


def submit_evidence(api: stripe.StripeClient, request: SubmitEvidence) -> DisputeResult:
    params: Any = {"evidence": {**request.texts, **request.files}, "submit": True}
    dispute = api.v1.disputes.update(
        request.dispute.channel_dispute_no, params, {"idempotency_key": request.key}
    )
    return Reported(read_dispute(dispute.to_dict(), request.dispute.environment))


def accept_dispute(api: stripe.StripeClient, request: AcceptDispute) -> DisputeResult:
    dispute = api.v1.disputes.close(request.dispute.channel_dispute_no, {}, {"idempotency_key": request.key})
    return Reported(read_dispute(dispute.to_dict(), request.dispute.environment))


def find_dispute(api: stripe.StripeClient, dispute: DisputeRef) -> DisputeResult:
    found = api.v1.disputes.retrieve(dispute.channel_dispute_no)
    return Reported(read_dispute(found.to_dict(), dispute.environment))

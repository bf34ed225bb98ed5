"""Disputes and the evidence for them (docs.stripe.com/disputes, docs.stripe.com/file-upload)."""

from typing import Any

from tests.support.stripe.account import StripeAccount
from tests.support.stripe.messages import ErrorResponse, InvalidParameter
from tests.support.stripe.specification import JsonObject, build_null_fields, get_schema

MAX_FILE_BYTES = 5_000_000  # docs.stripe.com/file-upload, of purpose dispute_evidence


def open_dispute(account: StripeAccount, intent_id: str, **fields: Any) -> JsonObject:
    """The customer takes the money back through their bank (docs.stripe.com/disputes/how-disputes-work)."""
    intent = account.intents[intent_id]
    dispute = account.create_object(
        "dispute",
        "dp",
        **{
            "amount": intent["amount_received"],
            "balance_transactions": [],
            "charge": intent["latest_charge"],
            "currency": intent["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**build_null_fields("dispute_evidence"), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": account.now() + 7 * 86400,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": intent_id,
            "reason": "fraudulent",
            "status": "needs_response",
            **fields,
        },
    )
    account.disputes[dispute["id"]] = dispute
    account.update_object(account.charges[intent["latest_charge"]], disputed=True)
    account.emit_event("charge.dispute.created", dispute)
    return dispute


def create_file(account: StripeAccount, params: JsonObject) -> JsonObject:
    content: str = params["file"]
    if params["purpose"] != "dispute_evidence":
        raise InvalidParameter("Only evidence is used here.", param="purpose")
    if len(content) > MAX_FILE_BYTES:
        raise InvalidParameter("The file is too large.", param="file")
    if not content.startswith(("%PDF-", "\x89PNG", "\xff\xd8\xff")):
        raise InvalidParameter("Invalid file type.", param="file")
    file = account.create_object(
        "file", "file", purpose="dispute_evidence", size=len(content), type="pdf", filename="evidence"
    )
    account.files[file["id"]] = file
    return file


def update_dispute(account: StripeAccount, dispute_id: str, params: JsonObject) -> JsonObject:
    """Stages evidence, and submits it unless `submit` is false (docs.stripe.com/api/disputes/update)."""
    dispute = account.get_dispute(dispute_id)
    details = dispute["evidence_details"]
    if dispute["status"] not in ("needs_response", "warning_needs_response"):
        raise ErrorResponse(400, "This dispute is already closed", param="dispute")
    if details["due_by"] and account.now() > details["due_by"]:
        raise ErrorResponse(400, "This dispute is past its due date", param="dispute")
    evidence = params.get("evidence", {})
    published = get_schema("dispute_evidence")["properties"]
    for name, value in evidence.items():
        is_file = "anyOf" in published[name] and "$ref" in str(published[name])
        if is_file and value not in account.files:
            raise ErrorResponse(404, f"No such file upload: {value}", code="resource_missing", param=name)
    submits = params.get("submit", True)
    changes: JsonObject = {
        "evidence": {**dispute["evidence"], **evidence},
        "evidence_details": {
            **details,
            "has_evidence": True,
            "submission_count": details["submission_count"] + submits,
        },
    }
    if submits:
        changes["status"] = dispute["status"].replace("needs_response", "under_review")
    account.update_object(dispute, **changes)
    account.emit_event("charge.dispute.updated", dispute)
    return dispute


def close_dispute(account: StripeAccount, dispute_id: str) -> JsonObject:
    """Accepts the dispute as lost, for good (docs.stripe.com/api/disputes/close)."""
    dispute = account.get_dispute(dispute_id)
    if dispute["status"] not in ("needs_response", "warning_needs_response"):
        raise ErrorResponse(400, "This dispute is already closed", param="dispute")
    status = "warning_closed" if dispute["status"].startswith("warning") else "lost"
    account.update_object(dispute, status=status)
    account.emit_event("charge.dispute.closed", dispute)
    return dispute

"""Answers to disputes at Stripe: drafts, checked files, one submission although calls are lost, and acceptance."""

import base64
import datetime as dt
import io
import threading
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from pypdf import PdfWriter

from gateway.models import Dispute, DisputeResponse, EvidenceFile
from gateway.services import pdf_pages
from tests.support import background
from tests.support.shop import data, error
from tests.support.signing import SignedClient
from tests.support.stripe.evidence import PNG, deliver_events
from tests.support.stripe.fake import FakeStripe, Fault

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls", "_evidence_storage"),
]


def post(client: SignedClient, dispute: Dispute, action: str, **body: Any) -> Any:
    return client.post(f"/api/v1/disputes/{dispute.dispute_no}/{action}", body)


def upload(client: SignedClient, dispute: Dispute, content: bytes, field: str = "receipt") -> Any:
    encoded = base64.b64encode(content).decode()
    return post(client, dispute, "evidence/files", field=field, name="../a.exe", content=encoded)


def write_draft(client: SignedClient, dispute: Dispute) -> None:
    data(post(client, dispute, "evidence", texts={"customer_name": "Li", "product_description": "tea"}))
    data(upload(client, dispute, PNG))
    data(upload(client, dispute, build_pdf(2), "customer_communication"))


def build_pdf(pages: int) -> bytes:
    writer, stream = PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    writer.write(stream)
    return stream.getvalue()


def build_encrypted_pdf() -> bytes:
    """Builds a PDF with an unknown kind of encryption."""
    return build_pdf(1).replace(b"trailer\n<<", b"trailer\n<</Encrypt <</Filter /Unknown>>")


def at_stripe(fake: FakeStripe, dispute: Dispute) -> dict[str, Any]:
    return fake.account.disputes[dispute.channel_dispute_no]


def count(fake: FakeStripe, request: str) -> int:
    return sum(str(operation) == request for operation, _params in fake.api.used)


def test_a_draft_is_submitted_with_its_files(
    fake: FakeStripe, client: SignedClient, dispute: Dispute
) -> None:
    write_draft(client, dispute)
    data(post(client, dispute, "evidence", texts={"customer_name": ""}))
    assert at_stripe(fake, dispute)["evidence_details"]["submission_count"] == 0, (
        "a draft is not sent to Stripe"
    )
    answer = data(post(client, dispute, "submit"))
    assert (answer["status"], answer["texts"]) == ("submitted", {"product_description": "tea"})
    assert [(file["field"], file["name"], file["pages"]) for file in answer["files"]] == [
        ("customer_communication", "a.pdf", 2),
        ("receipt", "a.png", 1),
    ]
    evidence = at_stripe(fake, dispute)["evidence"]
    assert evidence["product_description"] == "tea"
    assert {evidence["receipt"], evidence["customer_communication"]} <= set(fake.account.files)
    assert count(fake, "POST /v1/files") == 2
    deliver_events(fake)
    dispute.refresh_from_db()
    assert dispute.status == "under_review"
    details = error(post(client, dispute, "submit"), 409, "dispute_not_answerable")
    assert details["reason"] == "submitted"


@pytest.mark.parametrize(
    ("fault", "request_"),
    [
        (Fault.LOSE_ANSWER, "POST /v1/files"),
        (Fault.FAIL_AFTER, "POST /v1/files"),
        (Fault.LOSE_ANSWER, "POST /v1/disputes/[^/]+"),
        (Fault.LOSE_REQUEST, "POST /v1/disputes/[^/]+"),
        (Fault.FAIL_AFTER, "POST /v1/disputes/[^/]+"),
        (Fault.FAIL_BEFORE, "POST /v1/disputes/[^/]+"),
        (Fault.LOSE_ANSWER, "GET /v1/disputes/[^/]+"),
    ],
)
def test_evidence_is_submitted_once_whatever_is_lost(
    fake: FakeStripe, client: SignedClient, dispute: Dispute, fault: Fault, request_: str
) -> None:
    write_draft(client, dispute)
    fake.plan_fault(fault, request_)
    post(client, dispute, "submit")
    background.finish()
    assert DisputeResponse.objects.get().status == "submitted"
    assert at_stripe(fake, dispute)["evidence_details"]["submission_count"] == 1


@pytest.mark.parametrize("fault", [None, Fault.LOSE_ANSWER, Fault.LOSE_REQUEST])
def test_a_dispute_is_accepted(
    fake: FakeStripe, client: SignedClient, dispute: Dispute, fault: Fault | None
) -> None:
    write_draft(client, dispute)
    if fault:
        fake.plan_fault(fault, "POST /v1/disputes/[^/]+/close")
    post(client, dispute, "accept")
    background.finish()
    response = DisputeResponse.objects.get()
    assert (response.kind, response.status) == ("acceptance", "submitted")
    assert (at_stripe(fake, dispute)["status"], count(fake, "POST /v1/files")) == ("lost", 0)
    deliver_events(fake)
    dispute.refresh_from_db()
    assert dispute.status == "lost"


def test_a_dispute_that_was_closed_meanwhile(
    fake: FakeStripe, client: SignedClient, dispute: Dispute
) -> None:
    write_draft(client, dispute)
    at_stripe(fake, dispute)["status"] = "lost"
    details = error(post(client, dispute, "submit"), 422, "dispute_answer_declined")
    assert details["failure_code"] == "dispute_closed"
    assert count(fake, "POST /v1/files") == 0


def test_after_the_due_date(client: SignedClient, dispute: Dispute) -> None:
    write_draft(client, dispute)
    Dispute.objects.update(evidence_due_by=timezone.now() - dt.timedelta(seconds=1))
    for action in ("submit", "accept"):
        assert error(post(client, dispute, action), 409, "dispute_not_answerable")["reason"] == "past_due"
    details = error(post(client, dispute, "evidence", texts={}), 409, "dispute_not_answerable")
    assert details["reason"] == "past_due"


def test_an_empty_draft_is_not_submitted(client: SignedClient, dispute: Dispute) -> None:
    assert error(post(client, dispute, "submit"), 409, "dispute_not_answerable")["reason"] == "no_evidence"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ executable",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7 garbage",
        build_encrypted_pdf(),
        build_pdf(50),
    ],
)
def test_a_file_is_checked_by_its_content(client: SignedClient, dispute: Dispute, content: bytes) -> None:
    error(upload(client, dispute, content), 400, "validation_failed")
    assert not EvidenceFile.objects.exists()


def test_only_documents_of_answerable_disputes_are_read(
    client: SignedClient, dispute: Dispute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is not read, because other requests hold all places."""
    monkeypatch.setattr(pdf_pages, "PLACES", threading.BoundedSemaphore(1))
    with pdf_pages.PLACES:
        error(upload(client, dispute, build_pdf(1)), 503, "service_unavailable")
        Dispute.objects.update(evidence_due_by=timezone.now() - dt.timedelta(seconds=1))
        error(upload(client, dispute, build_pdf(1)), 409, "dispute_not_answerable")
    assert not EvidenceFile.objects.exists()


def test_all_files_together_have_a_limit_of_pages(client: SignedClient, dispute: Dispute) -> None:
    data(upload(client, dispute, build_pdf(40)))
    error(upload(client, dispute, build_pdf(10), "refund_policy"), 400, "validation_failed")
    data(upload(client, dispute, build_pdf(10)))
    data(upload(client, dispute, build_pdf(39), "refund_policy"))


def test_wrong_fields_are_named(client: SignedClient, dispute: Dispute) -> None:
    details = error(
        post(client, dispute, "evidence", texts={"nonsense": "x", "customer_name": "x" * 5_001}),
        400,
        "validation_failed",
    )
    assert set(details) == {"nonsense", "customer_name"}
    error(upload(client, dispute, PNG, "customer_name"), 400, "validation_failed")
    error(
        post(client, dispute, "evidence/files", field="receipt", name="a", content="%%"),
        400,
        "validation_failed",
    )


def test_a_file_has_a_random_name_and_a_replaced_one_is_deleted(
    client: SignedClient, dispute: Dispute
) -> None:
    data(upload(client, dispute, PNG))
    first = EvidenceFile.objects.get().content.name
    data(upload(client, dispute, PNG + b"2"))
    second = EvidenceFile.objects.get().content.name
    assert first.startswith("evidence/")
    assert "exe" not in first
    assert (default_storage.exists(first), default_storage.exists(second)) == (False, True)


def test_a_storage_that_does_not_work_changes_nothing(
    client: SignedClient, dispute: Dispute, settings: Any, tmp_path: Any
) -> None:
    data(upload(client, dispute, PNG))
    (tmp_path / "no_folder").touch()
    settings.MEDIA_ROOT = tmp_path / "no_folder"
    details = error(upload(client, dispute, PNG + b"2"), 503, "service_unavailable")
    assert details["reason"] == "storage_not_available"
    assert EvidenceFile.objects.get().size_bytes == len(PNG)


def test_disputes_of_other_merchants_are_not_found(other_client: SignedClient, dispute: Dispute) -> None:
    for action in ("submit", "accept"):
        error(post(other_client, dispute, action), 404, "not_found")


def test_a_channel_that_is_no_longer_set_up_takes_no_answer(
    fake: FakeStripe, client: SignedClient, dispute: Dispute, settings: Any
) -> None:
    """An answer that was begun waits until the channel is back."""
    write_draft(client, dispute)
    fake.plan_fault(Fault.LOSE_REQUEST, "POST /v1/disputes/[^/]+")
    assert post(client, dispute, "submit").status_code == 202
    keys = settings.STRIPE_SECRET_KEYS
    settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}
    details = error(
        post(client, dispute, "evidence", texts={"customer_name": "Li"}), 409, "dispute_not_answerable"
    )
    assert details["reason"] == "not_supported"
    background.run_rounds(2)
    assert DisputeResponse.objects.get().status == "submitting"
    settings.STRIPE_SECRET_KEYS = keys
    background.finish()
    assert DisputeResponse.objects.get().status == "submitted"
    assert at_stripe(fake, dispute)["evidence_details"]["submission_count"] == 1

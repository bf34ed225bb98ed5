"""Staff answer a dispute at Stripe on its page: draft, file, submission, acceptance, and what they read."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from gateway.models import Dispute, DisputeResponse, EvidenceFile
from tests.support import background
from tests.support.shop import data, error
from tests.support.signing import SignedClient
from tests.support.stripe.evidence import PNG
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.triggers import without_triggers

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls", "_evidence_storage"),
]


@pytest.fixture
def browser(dispute: Dispute) -> Client:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def act(browser: Client, dispute: Dispute, action: str, **values: Any) -> Any:
    url = reverse(f"admin:gateway_dispute_{action}", args=[dispute.id])
    return browser.post(url, {"reason": "for the merchant", **values})


def read(browser: Client, dispute: Dispute) -> str:
    return browser.get(reverse("admin:gateway_dispute_change", args=[dispute.id])).content.decode()


def test_staff_write_and_submit_evidence(
    fake: FakeStripe, client: SignedClient, dispute: Dispute, browser: Client
) -> None:
    path = f"/api/v1/disputes/{dispute.dispute_no}/evidence"
    error(client.get(path), 404, "not_found")
    assert "Evidence is due by:" in read(browser, dispute)
    assert "There is no evidence yet." in act(browser, dispute, "submit").content.decode()
    assert act(browser, dispute, "evidence", field="customer_name", text="Li").status_code == 302
    file = SimpleUploadedFile("receipt.exe", PNG)
    assert act(browser, dispute, "evidence-file", field="receipt", file=file).status_code == 302
    draft = data(client.get(path))
    assert (draft["status"], draft["texts"]) == ("draft", {"customer_name": "Li"})
    assert act(browser, dispute, "submit").status_code == 302
    details = fake.account.disputes[dispute.channel_dispute_no]["evidence_details"]
    assert details["submission_count"] == 1
    assert data(client.get(path))["status"] == "submitted"
    actions = StaffAction.objects.filter(object_id=dispute.dispute_no).order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        "dispute.evidence",
        "dispute.evidence",
        "dispute.submit",
    ]
    assert "customer_name" in read(browser, dispute)
    evidence = EvidenceFile.objects.get()
    url = reverse("admin:gateway_evidencefile_download", args=[evidence.id])
    downloaded = browser.post(url, {"reason": "to compare"})
    assert (downloaded.content, downloaded["content-type"]) == (PNG, "application/octet-stream")
    assert downloaded["content-disposition"] == 'attachment; filename="receipt.png"'


def test_staff_accept_a_dispute_once_although_the_answer_is_lost(
    fake: FakeStripe, dispute: Dispute, browser: Client
) -> None:
    fake.plan_fault(Fault.LOSE_ANSWER, "POST /v1/disputes/[^/]+/close")
    assert act(browser, dispute, "accept").status_code == 302
    background.finish()
    response = DisputeResponse.objects.get()
    assert (response.kind, response.status, response.submitted_by) == ("acceptance", "submitted", "root")


def test_an_error_is_shown_at_its_field(dispute: Dispute, browser: Client) -> None:
    unknown = act(browser, dispute, "evidence", field="nonsense", text="x")
    assert "Select a valid choice" in unknown.content.decode()
    executable = act(
        browser, dispute, "evidence-file", field="receipt", file=SimpleUploadedFile("a.png", b"MZ")
    )
    assert "Upload a PDF, JPEG or PNG file." in executable.content.decode()
    assert not DisputeResponse.objects.exists()


def test_a_channel_without_dispute_responses_shows_a_message(dispute: Dispute, browser: Client) -> None:
    with without_triggers():  # a dispute never changes its channel
        Dispute.objects.update(channel="paypal")
    text = "This channel takes responses only on its own pages."
    assert text in read(browser, dispute)
    assert text in act(browser, dispute, "accept").content.decode()

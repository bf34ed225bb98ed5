"""A dispute from its beginning to its end with a test key: the simulator opens, takes and decides it, and every cent is
where docs/LEDGER.md says."""

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.models import Dispute, DisputeResponse
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, create, data, error, get_payment, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(autouse=True)
def _evidence_storage(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def dispute(client: SignedClient, script: str = "dispute") -> tuple[Body, Dispute]:
    payment: Body = data(create(client, f"auto_pay,{script}"))
    bank.deliver_webhooks(payment["payment_no"])
    return payment, Dispute.objects.get()


def post(client: SignedClient, opened: Dispute, action: str, **body: Any) -> Any:
    return client.post(f"/api/v1/disputes/{opened.dispute_no}/{action}", body)


def answer(client: SignedClient, opened: Dispute, text: str) -> Any:
    data(post(client, opened, "evidence", texts={"uncategorized_text": text}))
    content = base64.b64encode(b"\x89PNG\r\n\x1a\n receipt").decode()
    data(post(client, opened, "evidence/files", field="receipt", name="a.png", content=content))
    return post(client, opened, "submit")


@pytest.mark.parametrize(
    ("text", "status", "disputed"), [("winning_evidence", "won", 0), ("losing_evidence", "lost", 10_000)]
)
def test_a_dispute_is_answered_and_decided(
    client: SignedClient, text: str, status: str, disputed: int
) -> None:
    payment, opened = dispute(client)
    assert get_payment(client, payment)["disputed_amount"] == 10_000
    error(refund(client, payment, 10_000), 409, "payment_disputed")
    assert data(answer(client, opened, text))["status"] == "submitted"
    bank.deliver_webhooks(payment["payment_no"])
    now = get_payment(client, payment)
    assert (now["disputes"][0]["status"], now["disputed_amount"]) == (status, disputed)
    if not disputed:
        assert data(refund(client, payment, 10_000))["status"] == "succeeded"


@pytest.mark.parametrize(
    "faults",
    [
        "submit:timeout_after",
        "submit:timeout_before",
        "submit:error_5xx_kept",
        "upload:timeout_after",
        "query_dispute:timeout_before",
        "submit:timeout_after,query_dispute:timeout_before*2",
    ],
)
def test_evidence_is_submitted_once_whatever_is_lost(client: SignedClient, faults: str) -> None:
    payment, opened = dispute(client, f"dispute,{faults}")
    answer(client, opened, "winning_evidence")
    background.finish()
    assert DisputeResponse.objects.get().status == "submitted"
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["disputes"][0]["status"] == "won"


@pytest.mark.parametrize(
    ("script", "status", "disputed"), [("dispute", "lost", 10_000), ("inquiry", "closed", 0)]
)
def test_a_dispute_is_accepted(client: SignedClient, script: str, status: str, disputed: int) -> None:
    payment, opened = dispute(client, script)
    assert data(post(client, opened, "accept"))["status"] == "submitted"
    bank.deliver_webhooks(payment["payment_no"])
    now = get_payment(client, payment)
    assert (now["disputes"][0]["status"], now["disputed_amount"]) == (status, disputed)


def test_a_dispute_whose_payment_number_is_not_known_yet(client: SignedClient) -> None:
    """The answer to the creation was lost: the bank's number of the payment leads to ours."""
    answered = create(client, "auto_pay,dispute,timeout_after,query:timeout_before*always")
    number = answered.json()["data"]["payment_no"]
    [created] = [each for each in bank.list_webhooks(number) if each["type"] == "dispute.created"]
    bank.forget_script(number)
    assert bank.read_effect(bank.send_webhook(created)) == "disputed"
    background.finish()
    bank.deliver_webhooks(number)
    assert get_payment(client, {"payment_no": number})["disputed_amount"] == 10_000


def test_the_script_of_an_amount(client: SignedClient) -> None:
    payment: Body = data(create(client, amount=19_924))
    bank.pay(payment)
    bank.deliver_webhooks(payment["payment_no"])
    assert Dispute.objects.get().amount_minor == 19_924

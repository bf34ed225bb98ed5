"""Disputes at the simulator: opened by a script, answered once, decided by what the answer says."""

from typing import Any

import pytest
from django.db.models.functions import Now

from channels.base import (
    AcceptDispute,
    ChannelDispute,
    ChannelDisputeStage,
    Declined,
    DisputeRef,
    DisputeState,
    NotFoundAtChannel,
    Reported,
    SubmitEvidence,
    UnknownOutcome,
    UploadEvidence,
)
from channels.simulator import disputes
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification, SimulatedDispute, SimulatedEvidenceFile
from tests.simulator.conftest import Shop
from tests.support import bank
from tests.support.channels import TEST_ACCOUNT

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def find(reference: str) -> DisputeRef:
    dispute = SimulatedDispute.objects.get(payment_id=reference)
    return DisputeRef(TEST_ACCOUNT, dispute.pk, timeout_seconds=10.0)


def submit(
    channel: SimulatorChannel,
    ref: DisputeRef,
    text: str = "receipt attached",
    *,
    key: str = "key",
    **files: str,
) -> Any:
    return channel.disputes.submit_evidence(SubmitEvidence(key, ref, {"uncategorized_text": text}, files))


def upload(channel: SimulatorChannel, ref: DisputeRef, key: str = "file") -> str:
    answer = channel.disputes.upload_evidence(UploadEvidence(key, ref, "a.png", b"\x89PNG"))
    assert isinstance(answer, Reported)
    return answer.value


@pytest.mark.parametrize(
    ("script", "stage"),
    [("dispute", ChannelDisputeStage.CHARGEBACK), ("inquiry", ChannelDisputeStage.INQUIRY)],
)
def test_a_script_opens_a_dispute_of_the_whole_payment(
    channel: SimulatorChannel, shop: Shop, script: str, stage: ChannelDisputeStage
) -> None:
    payment = shop.pay(f"{script}:60")
    answer = channel.disputes.find_dispute(find(payment.reference))
    assert isinstance(answer, Reported)
    dispute = answer.value
    assert (dispute.stage, dispute.state, dispute.amount_minor) == (
        stage,
        DisputeState.NEEDS_RESPONSE,
        10_000,
    )
    assert (dispute.channel_trade_no, dispute.submission_count) == (payment.channel_trade_no, 0)
    waiting = Notification.objects.get(event_type="dispute.created")
    assert waiting.due_at is not None
    assert 50 < (waiting.due_at - waiting.created_at).total_seconds() < 70


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("winning_evidence", DisputeState.WON),
        ("losing_evidence", DisputeState.LOST),
        ("the parcel's number", DisputeState.UNDER_REVIEW),
    ],
)
def test_the_answer_decides_the_dispute_and_its_webhook_says_so(
    channel: SimulatorChannel, shop: Shop, text: str, state: DisputeState
) -> None:
    ref = find(shop.pay("dispute").reference)
    answer = submit(channel, ref, text)
    assert (answer.value.state, answer.value.submission_count) == (state, 1)
    payload = Notification.objects.order_by("created_at").last().payload  # type: ignore[union-attr]
    event = channel.parse_webhook(TEST_ACCOUNT, bank.build_webhook_request(payload))
    [reported] = event.updates
    assert isinstance(reported, ChannelDispute)
    assert reported == answer.value


def test_evidence_is_taken_once(channel: SimulatorChannel, shop: Shop) -> None:
    ref = find(shop.pay("dispute").reference)
    number = upload(channel, ref)
    assert upload(channel, ref) == number
    assert SimulatedEvidenceFile.objects.count() == 1
    unknown = submit(channel, ref, receipt="sim_file_unknown")
    assert (unknown.code, SimulatedDispute.objects.get().submission_count) == ("no_such_file", 0)
    first = submit(channel, ref, receipt=number)
    assert submit(channel, ref, receipt=number) == first
    assert isinstance(submit(channel, ref, key="another"), Declined)
    kept = SimulatedDispute.objects.get()
    assert (kept.submission_count, kept.evidence["receipt"]) == (1, number)


@pytest.mark.parametrize(
    ("script", "state"), [("dispute", DisputeState.LOST), ("inquiry", DisputeState.CLOSED)]
)
def test_an_accepted_dispute_is_over(
    channel: SimulatorChannel, shop: Shop, script: str, state: DisputeState
) -> None:
    ref = find(shop.pay(script).reference)
    for _ in range(2):
        answer = channel.disputes.accept_dispute(AcceptDispute("key", ref))
        assert isinstance(answer, Reported)
        assert answer.value.state == state
    refused = submit(channel, ref, key="another")
    assert refused.code == "dispute_closed"
    assert Notification.objects.filter(event_type="dispute.closed").count() == 1


def test_a_dispute_that_is_not_answered_in_time_is_lost(channel: SimulatorChannel, shop: Shop) -> None:
    ref = find(shop.pay("dispute").reference)
    assert disputes.settle_due_disputes() == 0
    SimulatedDispute.objects.update(evidence_due_by=Now())
    assert bank.settle_due_payments() == 0
    assert SimulatedDispute.objects.get().state == DisputeState.LOST
    assert Notification.objects.filter(event_type="dispute.closed").count() == 1
    assert isinstance(submit(channel, ref), Declined)


def test_a_lost_answer_leaves_one_submission(channel: SimulatorChannel, shop: Shop) -> None:
    ref = find(shop.pay("dispute,submit:timeout_after,query_dispute:timeout_before").reference)
    assert isinstance(submit(channel, ref), UnknownOutcome)
    assert isinstance(channel.disputes.find_dispute(ref), UnknownOutcome)
    answer = channel.disputes.find_dispute(ref)
    assert isinstance(answer, Reported)
    assert answer.value.submission_count == 1
    assert submit(channel, ref).value.submission_count == 1


def test_an_unknown_dispute_is_not_found(channel: SimulatorChannel) -> None:
    ref = DisputeRef(TEST_ACCOUNT, "sim_dp_unknown", 10.0)
    for answer in (
        channel.disputes.find_dispute(ref),
        submit(channel, ref),
        channel.disputes.accept_dispute(AcceptDispute("key", ref)),
        channel.disputes.upload_evidence(UploadEvidence("key", ref, "a.png", b"")),
    ):
        assert isinstance(answer, NotFoundAtChannel)

"""A payout run from the frozen amounts to the bank's answer. All integrity checks run after each test."""

import uuid
from importlib import resources

import pytest
from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from xmlschema import XMLSchema

from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import QueueFilter, list_open_items
from common.errors import NotPermitted, OperationRefused
from ledger.balances import read_merchant_balances
from ledger.models import LedgerTransfer
from merchants.services import NewMerchant
from payouts.models import Payout, PayoutFile, PayoutRun, PayoutRunStatus, PayoutStatus
from payouts.services import bank_accounts, runs
from payouts.services.files import download_file
from payouts.services.outcomes import BankOutcome, read_outcomes, record_outcome
from sagas.models import SagaInstance
from tests.payouts.conftest import (
    IBAN,
    age_ledger,
    approve,
    create_run,
    give_bank_account,
    give_plan,
    no_conflict,
)
from tests.support.auditing import _audited  # noqa: F401
from tests.support.sagas import run_due
from tests.support.shop import data, error, paid
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def available(merchant: NewMerchant) -> int:
    (balance,) = read_merchant_balances(merchant_id=merchant.merchant.id, environment="test")
    return balance.available_minor


def the_payout() -> Payout:
    return Payout.objects.get()


def sent_payout(client: SignedClient) -> Payout:
    paid(client)
    age_ledger()
    approve(create_run())
    return the_payout()


def record(payout: Payout, status: str, actor: str = "ann", **changes: object) -> bool:
    outcome = BankOutcome(payout_no=payout.payout_no, status=status, **changes)  # type: ignore[arg-type]
    return record_outcome(outcome=outcome, actor=actor, reason="report", find_conflict=no_conflict)


def request_account(merchant: NewMerchant) -> None:
    bank_accounts.request_bank_account(
        merchant_id=merchant.merchant.id,
        environment="test",
        currency="USD",
        details=IBAN,
        actor="mallory",
        reason="they wrote a mail",
    )


def test_a_run_is_frozen_approved_exported_and_paid(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    run_id = create_run()
    assert (the_payout().status, the_payout().amount_minor, available(payable)) == ("pending", 10_000, 0)
    approve(run_id)
    payout = the_payout()
    run = PayoutRun.objects.get()
    assert (payout.status, run.status) == (PayoutStatus.IN_TRANSIT, PayoutRunStatus.SENT)
    assert run.run_no.startswith("TEST-RUN-")
    file = download_file(run_id=run_id, actor="ann", reason="upload")
    assert file.content.decode().splitlines()[1] == (
        f"{payout.payout_no},TEST Acme GmbH,iban,ZZ00TEST,,100.00,USD"
    )
    assert record(payout, "paid", bank_reference="B-1")
    assert not record(payout, "paid", bank_reference="B-1"), "the outcome is already recorded"
    shown = data(client.get(f"/api/v1/payouts/{payout.payout_no}"))
    assert (shown["status"], shown["amount"], shown["bank_account"]) == ("paid", 10_000, "DE89…3000")
    (moved,) = data(client.get(f"/api/v1/balance-transactions?payout={payout.payout_no}"))["items"]
    assert not LedgerTransfer.objects.filter(subject_id=payout.id).exclude(payment_id=None).exists()
    assert (moved["type"], moved["net"], moved["source"]) == ("payout", -10_000, payout.payout_no)
    with pytest.raises(OperationRefused):
        create_run()


def test_a_rejected_run_releases_its_amounts(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    run_id = create_run()
    runs.reject_run(run_id=run_id, actor="bob", reason="wrong day")
    payout = the_payout()
    assert (payout.status, payout.failure_code, available(payable)) == ("canceled", "rejected", 10_000)
    with pytest.raises(NotPermitted):
        approve(run_id)
    assert not PayoutFile.objects.exists()


def test_the_requester_cannot_approve(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    run_id = create_run()
    with pytest.raises(NotPermitted):
        runs.approve_run(run_id=run_id, actor="ann", reason="me", find_conflict=no_conflict)
    with pytest.raises(DatabaseError, match="payout_run_by_a_second_person"):
        runs.approve_run(run_id=run_id, actor="ann", reason="me", find_conflict=lambda *_names: "")
    runs.reject_run(run_id=run_id, actor="ann", reason="withdrawn")


def test_two_runs_at_once_freeze_the_money_once(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()

    def try_to_create() -> uuid.UUID | None:
        try:
            return create_run()
        except OperationRefused:
            return None

    (run_id,) = [each for each in at_once(*[try_to_create] * 3) if each is not None]
    assert Payout.objects.count() == 1
    approve(run_id)


@pytest.mark.parametrize(("fee", "left"), [(0, 10_000), (250, 9_750)])
def test_a_returned_payout_is_payable_again(
    payable: NewMerchant, client: SignedClient, fee: int, left: int
) -> None:
    payout = sent_payout(client)
    assert record(payout, "paid")
    for actor in ("ann", "bob"):
        assert record(payout, "returned", actor, code="AC04", message="closed account", fee_minor=fee)
    assert available(payable) == left
    with pytest.raises(NotPermitted):
        record(payout, "paid")
    listed = data(client.get(f"/api/v1/balance-transactions?payout={payout.payout_no}"))["items"]
    assert [row["net"] for row in listed] == [left, -10_000]
    run_id = create_run()
    assert Payout.objects.get(run_id=run_id).amount_minor == left
    approve(run_id)


def test_a_failure_needs_two_people_who_record_the_same(payable: NewMerchant, client: SignedClient) -> None:
    payout = sent_payout(client)
    assert record(payout, "failed", "terminal:eve", code="AC04")
    for actor in ("ann", "ann", "terminal:eve"):
        record(payout, "failed", actor, code="AC04")
        assert (the_payout().status, available(payable)) == ("in_transit", 0)
    record(payout, "failed", "bob", code="AC01")
    assert (the_payout().status, the_payout().claimed_by) == ("in_transit", "bob")
    assert record(payout, "failed", "ann", code="AC01")
    assert (the_payout().status, available(payable)) == ("failed", 10_000)
    assert not record(payout, "failed", "ann", code="AC01")


def test_a_failed_payout_that_is_reported_as_paid_is_paid(payable: NewMerchant, client: SignedClient) -> None:
    payout = sent_payout(client)
    for actor in ("ann", "bob"):
        record(payout, "failed", actor, code="AC04", fee_minor=250)
    assert available(payable) == 9_750
    assert record(payout, "paid")
    assert (the_payout().status, the_payout().return_fee_minor, available(payable)) == ("paid", 0, 0)
    for actor in ("ann", "bob"):
        record(payout, "returned", actor, code="AC04")
    assert available(payable) == 10_000


def test_a_changed_bank_account_is_left_out(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    run_id = create_run()
    give_bank_account(payable.merchant.id)
    approve(run_id)
    assert (the_payout().status, the_payout().failure_code) == ("canceled", "no_payouts_left")
    assert available(payable) == 10_000
    assert PayoutRun.objects.get().status == PayoutRunStatus.CANCELED


def test_a_request_of_another_bank_account_stops_a_run_that_is_frozen(
    payable: NewMerchant, client: SignedClient
) -> None:
    paid(client)
    age_ledger()
    run_id = create_run()
    request_account(payable)
    approve(run_id)
    assert (the_payout().status, available(payable)) == ("canceled", 10_000)
    assert not PayoutFile.objects.exists()


def test_a_new_bank_account_cools_down_and_a_request_blocks(acme: NewMerchant, client: SignedClient) -> None:
    give_plan(acme.merchant.id)
    paid(client)
    age_ledger()
    give_bank_account(acme.merchant.id, is_usable=False)
    with pytest.raises(OperationRefused):
        create_run()
    give_bank_account(acme.merchant.id)
    request_account(acme)
    with pytest.raises(OperationRefused):
        create_run()


def test_a_smaller_balance_than_the_minimum_waits(payable: NewMerchant, client: SignedClient) -> None:
    paid(client)
    age_ledger()
    give_plan(payable.merchant.id, minimum_minor=10_001)
    with pytest.raises(OperationRefused):
        create_run()


def test_a_return_that_one_person_has_recorded_is_in_the_work_queue(
    payable: NewMerchant, client: SignedClient
) -> None:
    paid(client)
    age_ledger()
    approve(create_run())
    payout = the_payout()
    returned = BankOutcome(payout.payout_no, "returned", code="AC04")
    for actor, expected in (("ann", ["claimed"]), ("bob", [])):
        record_outcome(outcome=returned, actor=actor, reason="the bank's report", find_conflict=no_conflict)
        items = list_open_items(QueueFilter([ItemKind.PAYOUT]))
        assert [item.code for item in items] == expected
    assert the_payout().status == "returned"


def test_a_schedule_creates_a_run_that_two_people_must_see(
    payable: NewMerchant, client: SignedClient
) -> None:
    paid(client)
    age_ledger()
    give_plan(payable.merchant.id, schedule="daily")
    assert runs.create_scheduled_runs() == 1
    assert runs.create_scheduled_runs() == 0
    run = PayoutRun.objects.get()
    with pytest.raises(NotPermitted):
        approve(run.id)
    runs.adopt_run(run_id=run.id, actor="ann", reason="checked")
    approve(run.id)
    assert the_payout().status == "in_transit"


def test_an_approval_that_never_comes_releases_the_amounts(
    payable: NewMerchant, client: SignedClient
) -> None:
    paid(client)
    age_ledger()
    create_run()
    SagaInstance.objects.filter(definition="payout.run").update(lease_expires_at=Now(), waiting_until=Now())
    run_due()
    assert (the_payout().status, available(payable)) == ("canceled", 10_000)


def test_a_file_of_euros_is_valid_pain001(acme: NewMerchant, client: SignedClient, settings) -> None:
    settings.PAYOUT_DEBTOR_NAME = "Platform"
    settings.PAYOUT_DEBTOR_IBAN = "DE75512108001245126199"
    give_plan(acme.merchant.id)
    give_bank_account(acme.merchant.id, "EUR")
    paid(client, currency="EUR")
    age_ledger()
    run_id = create_run("EUR")
    approve(run_id)
    content = download_file(run_id=run_id, actor="ann", reason="upload").content
    schema = resources.files("sepaxml") / "schemas" / "pain.001.001.09.xsd"
    XMLSchema(str(schema)).validate(content.decode().partition("?>")[2])


def test_the_database_refuses_to_pay_twice(payable: NewMerchant, client: SignedClient) -> None:
    payout = sent_payout(client)
    for change in ({"status": "pending", "sent_at": None}, {"amount_minor": 1}, {"status": "canceled"}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Payout.objects.filter(id=payout.id).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        PayoutFile.objects.update(sha256="0" * 64)
    with pytest.raises(DatabaseError), transaction.atomic():
        PayoutFile.objects.all().delete()


def test_outcomes_are_read_from_csv_and_bad_lines_are_named(
    payable: NewMerchant, client: SignedClient
) -> None:
    (outcome,) = read_outcomes(b"payout_no,status,arrival_date\r\nPO-1,paid,2026-11-27\r\n")
    assert (outcome.payout_no, str(outcome.arrival_date)) == ("PO-1", "2026-11-27")
    bad_lines = (b"payout_no,status\r\nPO-1,gone\r\n", b"payout_no,status,fee_minor\nP,failed,x\n")
    for wrong in (b"a,b\r\n", b"\xff", *bad_lines):
        with pytest.raises(OperationRefused, match="file"):
            read_outcomes(wrong)


def test_a_platform_that_may_not_hold_money_makes_no_payouts(
    payable: NewMerchant, client: SignedClient, settings
) -> None:
    settings.HOLDS_MERCHANT_FUNDS = False
    error(client.get("/api/v1/payouts"), 409, "payouts_unavailable")
    error(client.get("/api/v1/payable-balance"), 409, "payouts_unavailable")
    with pytest.raises(OperationRefused, match="HOLDS_MERCHANT_FUNDS"):
        create_run()


def test_another_merchant_sees_no_payout(
    payable: NewMerchant, client: SignedClient, other_client: SignedClient
) -> None:
    payout = sent_payout(client)
    error(other_client.get(f"/api/v1/payouts/{payout.payout_no}"), 404, "not_found")
    assert data(other_client.get("/api/v1/payouts"))["items"] == []
    assert [each["payout_no"] for each in data(client.get("/api/v1/payouts"))["items"]] == [payout.payout_no]
    error(other_client.get("/api/v1/payable-balance"), 409, "no_payout_plan")
    (balance,) = data(client.get("/api/v1/payable-balance"))["balances"]
    assert (balance["payable"], balance["total"]) == (0, 0)

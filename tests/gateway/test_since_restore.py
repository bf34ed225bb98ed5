"""`manage.py reconcile --since-restore` finds and adopts, once, the channel's changes after the restore point."""

import datetime as dt
import json
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from channel_accounts.serving import get_channels_of_accounts
from channels.base import ListingFailed, PaymentOrigin
from channels.simulator.models import LedgerEntry, SimulatedPayment
from events.models import OutboxEvent
from gateway.models import Payment, PaymentAttempt, PaymentReview, Refund
from gateway.services.adoption.origins import Origin, choose_origin
from gateway.services.payment_reviews import resolve_open_reviews
from ledger.models import LedgerTransfer
from merchants.services import NewMerchant
from tests.support import background, bank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.channel_accounts import add_account
from tests.support.channels import intercept_simulator
from tests.support.fixtures import new_merchant
from tests.support.restore_point import RestorePoint
from tests.support.shop import (
    Body,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    ordered,
    paid,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

MOMENT = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).isoformat()


def reconcile(*arguments: str) -> tuple[list[Body], Body, int]:
    """Runs the command. Returns the findings, the counts and the exit code."""
    output, code = StringIO(), 0
    try:
        call_command("reconcile", f"--since-restore={MOMENT}", "--json", *arguments, stdout=output)
    except SystemExit as ended:
        code = int(ended.code or 0)
    *found, counts = (json.loads(line) for line in output.getvalue().splitlines())
    return found, counts, code


def kinds(found: list[Body]) -> dict[str, str]:
    return {finding["reference"]: finding["kind"] for finding in found}


def reviews(payment: Body) -> dict[str, str]:
    """Returns the open reviews: the code, subject and text of each."""
    rows = PaymentReview.objects.filter(payment__payment_no=payment["payment_no"], resolved_at=None)
    return {f"{row.code} {row.subject}": row.text for row in rows}


def test_a_paid_payment_and_its_refund_are_adopted_under_their_numbers(client: SignedClient) -> None:
    point = RestorePoint()
    lost = paid(client)
    returned = data(refund(client, lost, 3_000))
    balance = data(client.get("/api/v1/balance"))
    point.restore()
    found, counts, code = reconcile()
    assert kinds(found) == {lost["payment_no"]: "adopted", returned["refund_no"]: "adopted"}
    assert (code, counts["listed"]) == (0, {"payments": 1, "refunds": 1, "agreed": 0, "foreign": 0})

    now = get_payment(client, lost)
    same = ("order_no", "status", "amount", "captured_amount", "channel_trade_no", "currency")
    assert [now[name] for name in same] == [lost[name] for name in same]
    assert now["refunded_amount"] == 3_000
    again = get_refund(client, returned)
    assert (again["status"], again["channel_refund_no"]) == ("succeeded", returned["channel_refund_no"])
    assert data(client.get("/api/v1/balance")) == balance
    types = OutboxEvent.objects.order_by("id").values_list("type", flat=True)
    assert list(types) == ["payment.created", "payment.succeeded", "refund.succeeded"]
    assert set(reviews(lost)) == {f"adopted {lost['payment_no']}", f"adopted {returned['refund_no']}"}
    assert "Not known: subject" in reviews(lost)[f"adopted {lost['payment_no']}"]


def test_a_second_run_changes_nothing(client: SignedClient) -> None:
    point = RestorePoint()
    lost = paid(client)
    data(refund(client, lost, 3_000))
    point.restore()
    reconcile()
    before = (list(Payment.objects.values()), LedgerTransfer.objects.count(), OutboxEvent.objects.count())
    found, counts, code = reconcile()
    assert (found, code, counts["listed"]["agreed"]) == ([], 0, 2)
    assert (
        list(Payment.objects.values()),
        LedgerTransfer.objects.count(),
        OutboxEvent.objects.count(),
    ) == before


def test_a_repeated_request_whose_key_was_lost_makes_no_second_payment(client: SignedClient) -> None:
    point = RestorePoint()
    order_no = new_no()
    lost = data(create(client, "auto_pay", key="key-1", order_no=order_no))
    point.restore()
    reconcile()
    repeated = create(client, "auto_pay", key="key-1", order_no=order_no)
    assert error(repeated, 409, "duplicate_order_no")["payment_no"] == lost["payment_no"]
    assert LedgerEntry.objects.count() == 1


def test_redis_repeats_the_answer_of_a_lost_key(client: SignedClient) -> None:
    """Redis is not emptied by a restore of the database: it answers the repetition, even before the reconciliation."""
    point = RestorePoint()
    order_no = new_no()
    lost = data(create(client, "auto_pay", key="key-1", order_no=order_no))
    point.restore(with_redis=True)
    assert data(create(client, "auto_pay", key="key-1", order_no=order_no)) == lost
    reconcile()


def test_a_repeated_refund_is_refused_until_its_review_is_resolved(client: SignedClient) -> None:
    payment = paid(client)
    point = RestorePoint()
    lost = data(refund(client, payment, 3_000, key="key-1"))
    point.restore()
    reconcile()
    refused = error(refund(client, payment, 3_000, key="key-1"), 409, "refund_adopted")
    assert refused["refund_no"] == lost["refund_no"]
    data(refund(client, payment, 2_000))  # another amount is another refund
    with transaction.atomic():
        resolve_open_reviews(
            payment_no=payment["payment_no"], actor="ana", reason="another one is wanted", reviews=["adopted"]
        )
    data(refund(client, payment, 3_000, key="key-1"))
    assert get_payment(client, payment)["refunded_amount"] == 8_000


def test_the_customer_pays_an_adopted_open_payment(client: SignedClient) -> None:
    point = RestorePoint()
    lost = opened(client)
    point.restore()
    found, _, code = reconcile()
    assert (kinds(found), code) == ({lost["payment_no"]: "adopted"}, 0)
    now = get_payment(client, lost)
    assert (now["status"], now["payment_url"]) == ("pending", lost["payment_url"])
    bank.pay(lost)
    bank.deliver_webhooks(lost["payment_no"])
    assert get_payment(client, lost)["status"] == "succeeded"


@pytest.mark.parametrize(("simulate", "status"), [("decline", "failed"), ("authorize", "authorized")])
def test_each_state_is_adopted(client: SignedClient, simulate: str, status: str) -> None:
    point = RestorePoint()
    create(client, simulate, capture_method="manual")
    reference = SimulatedPayment.objects.get().pk
    point.restore()
    assert kinds(reconcile()[0]) == {reference: "adopted"}
    payment = get_payment(client, {"payment_no": reference})
    assert payment["status"] == status
    if status == "authorized":
        assert data(capture(client, payment))["status"] == "succeeded"


def test_payments_in_an_older_state_are_updated(client: SignedClient) -> None:
    to_pay, held, to_end = opened(client), authorized(client), opened(client)
    point = RestorePoint()
    bank.pay(to_pay)
    bank.deliver_webhooks(to_pay["payment_no"])
    data(capture(client, held))
    data(cancel(client, to_end))
    point.restore()
    found, _, code = reconcile()
    numbers = [each["payment_no"] for each in (to_pay, held, to_end)]
    assert (kinds(found), code) == (dict.fromkeys(numbers, "updated"), 0)
    assert [get_payment(client, each)["status"] for each in (to_pay, held, to_end)] == [
        "succeeded",
        "succeeded",
        "cancelled",
    ]
    assert Payment.objects.filter(needs_attention=True).count() == 0


def test_a_payment_of_long_ago_is_queried_soon(client: SignedClient) -> None:
    """No list of the time since the restore point has the payment."""
    payment = opened(client)
    SimulatedPayment.objects.update(created_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    Payment.objects.update(next_check_at=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    assert reconcile()[0] == []
    due = Payment.objects.get(payment_no=payment["payment_no"]).next_check_at
    assert due is not None
    assert due.year < 2100


def test_a_saga_that_was_in_progress_at_the_restore_point_repeats_its_call(client: SignedClient) -> None:
    """The bank has charged, and the database was restored to the moment before the answer."""
    lost = data(create(client, "auto_pay,timeout_after_charge*9"), 202)
    point = RestorePoint()
    background.finish()
    assert get_payment(client, lost)["status"] == "succeeded"
    point.restore()
    reconcile()
    background.finish()
    assert get_payment(client, lost)["status"] == "succeeded"
    assert LedgerEntry.objects.count() == 1


def test_a_merchant_that_the_restored_database_does_not_know(
    client: SignedClient, other_client: SignedClient, tmp_path: Path
) -> None:
    point = RestorePoint()
    new = new_merchant(name="New")
    lost = paid(SignedClient(new.test_key.key, new.test_key.secret))
    point.restore()
    found, _, code = reconcile()
    assert (kinds(found), code) == ({lost["payment_no"]: "not_adopted"}, 1)
    assert str(new.merchant.id) in found[0]["reason"]
    assert Payment.objects.count() == 0

    again = new_merchant(name="New")  # the merchant is created again, with another id
    origins = tmp_path / "origins.jsonl"
    entry = {"payment_no": lost["payment_no"], "merchant_id": str(again.merchant.id), "order_no": "A-7"}
    origins.write_text(f"{json.dumps(entry)}\n")
    found, _, code = reconcile(f"--origins={origins}")
    assert (kinds(found), code) == ({lost["payment_no"]: "adopted"}, 0)
    seen = get_payment(SignedClient(again.test_key.key, again.test_key.secret), lost)
    assert (seen["order_no"], seen["status"]) == ("A-7", "succeeded")


def test_a_channel_that_does_not_keep_the_origin(
    client: SignedClient, acme: NewMerchant, tmp_path: Path
) -> None:
    point = RestorePoint()
    lost = paid(client)
    SimulatedPayment.objects.update(merchant_id="", order_no="")
    point.restore()
    found, _, code = reconcile()
    assert (kinds(found), code) == ({lost["payment_no"]: "not_adopted"}, 1)
    origins = tmp_path / "origins.jsonl"
    origins.write_text(json.dumps({"payment_no": lost["payment_no"], "merchant_id": str(acme.merchant.id)}))
    reconcile(f"--origins={origins}")
    assert get_payment(client, lost)["order_no"] == lost["payment_no"]
    assert "order number is not known" in reviews(lost)[f"adopted {lost['payment_no']}"]


def test_the_merchant_has_repeated_its_order_before_the_run(client: SignedClient) -> None:
    point = RestorePoint()
    lost = paid(client)
    point.restore()
    second = data(create(client, order_no=lost["order_no"]))
    assert kinds(reconcile()[0])[lost["payment_no"]] == "adopted"
    now = get_payment(client, lost)
    assert (now["status"], now["order_no"]) == ("succeeded", lost["payment_no"])
    assert second["payment_no"] in reviews(lost)[f"adopted {lost['payment_no']}"]


def test_an_order_that_waits_is_paid(client: SignedClient) -> None:
    order = ordered(client)
    point = RestorePoint()
    lost = paid(client, order_no=order["order_no"], amount=order["amount"])
    point.restore()
    reconcile()
    assert get_payment(client, lost)["order_no"] == order["order_no"]


def test_a_further_attempt_of_a_known_payment(client: SignedClient) -> None:
    order_no = new_no()
    error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    point = RestorePoint()
    retried = paid(client, order_no=order_no)
    point.restore()
    found, _, code = reconcile()
    assert (kinds(found), code) == ({f"{retried['payment_no']}-2": "adopted"}, 0)
    assert get_payment(client, retried)["status"] == "succeeded"
    assert PaymentAttempt.objects.count() == 2


def test_an_attempt_of_another_merchant_is_not_adopted(client: SignedClient, acme: NewMerchant) -> None:
    """The owner of an account can give payments any number in its lists."""
    order_no = new_no()
    error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    point = RestorePoint()
    retried = paid(client, order_no=order_no)
    point.restore()
    listed = SimulatedPayment.objects.filter(pk=f"{retried['payment_no']}-2")
    listed.update(merchant_id=str(new_merchant(name="Other").merchant.id))
    found, _, code = reconcile()
    assert (code, [(each["kind"], each["reason"]) for each in found]) == (
        1,
        [("not_adopted", "number_taken")],
    )
    now = get_payment(client, retried)
    assert (now["status"], now["captured_amount"], len(now["attempts"])) == ("failed", 0, 1)
    listed.update(merchant_id=str(acme.merchant.id))
    assert kinds(reconcile()[0]) == {f"{retried['payment_no']}-2": "adopted"}


def test_all_attempts_of_a_lost_payment(client: SignedClient) -> None:
    point = RestorePoint()
    order_no = new_no()
    error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    retried = paid(client, order_no=order_no)
    point.restore()
    found, _, code = reconcile()
    number = retried["payment_no"]
    assert (kinds(found), code) == ({number: "adopted", f"{number}-2": "adopted"}, 0)
    now = get_payment(client, retried)
    assert (now["status"], now["order_no"]) == ("succeeded", order_no)


def test_an_adopted_duplicate_payment_is_not_refunded_once_more(client: SignedClient) -> None:
    """It was refunded after the restore point. The channel's refunds are read after its payments."""
    point = RestorePoint()
    order_no = new_no()
    error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    retried = paid(client, order_no=order_no)
    number = pay_first_attempt(retried)
    background.finish()
    lost = Refund.objects.get()
    before = list(LedgerEntry.objects.order_by("id").values())
    point.restore()
    found, _, code = reconcile()
    assert (code, set(kinds(found).values())) == (0, {"adopted"})
    background.finish()
    assert list(LedgerEntry.objects.order_by("id").values()) == before, "the bank makes no other refund"
    assert [row.refund_no for row in Refund.objects.all()] == [lost.refund_no]
    assert f"duplicate_payment {number}-2" in reviews(retried)


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_late_payment_that_was_refunded_in_the_lost_time_is_not_refunded_again(
    client: SignedClient, is_listed: bool
) -> None:
    """The payment is known and closed. If it was created long ago, only the list of refunds has it."""
    payment = opened(client)
    data(cancel(client, payment))
    point = RestorePoint()
    bank.pay_closed_payment(payment)
    number = payment["payment_no"]
    bank.deliver_webhooks(number)
    found = restore_and_reconcile(point, is_listed=is_listed)
    assert found == ({number: "updated"} if is_listed else {})
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == ("cancelled", 10_000, 10_000)
    assert {f"adopted money of {number}", "late_payment "} < set(reviews(payment))


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_duplicate_payment_that_was_refunded_in_the_lost_time_is_not_refunded_again(
    client: SignedClient, is_listed: bool
) -> None:
    order_no = new_no()
    error(create(client, "decline", order_no=order_no), 402, "payment_declined")
    retried = paid(client, order_no=order_no)
    point = RestorePoint()
    number = pay_first_attempt(retried)
    found = restore_and_reconcile(point, is_listed=is_listed)
    assert found == ({number: "updated"} if is_listed else {})
    assert {f"adopted money of {number}", f"duplicate_payment {number}"} < set(reviews(retried))


def restore_and_reconcile(point: RestorePoint, *, is_listed: bool) -> dict[str, str]:
    """Restores and reconciles: the lost refund must be the only one, here and at the bank. Returns other findings."""
    background.finish()
    lost = Refund.objects.get()
    before = list(LedgerEntry.objects.order_by("id").values())
    point.restore()
    if not is_listed:
        SimulatedPayment.objects.update(created_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    found, _, code = reconcile()
    background.finish()
    assert list(LedgerEntry.objects.order_by("id").values()) == before, "the bank makes no other refund"
    assert [(row.refund_no, row.status) for row in Refund.objects.all()] == [(lost.refund_no, "succeeded")]
    by_reference = kinds(found)
    assert (by_reference.pop(lost.refund_no), code) == ("adopted", 0)
    assert reconcile()[0] == []
    return by_reference


def pay_first_attempt(retried: Body) -> str:
    """The customer pays the attempt that was declined before. Returns its number."""
    number: str = retried["payment_no"]
    first = SimulatedPayment.objects.filter(pk=number)
    first.update(state="open", failure_code="", failure_message="")
    bank.pay({"payment_url": f"/checkout/{first.get().token}"})
    bank.deliver_webhooks(number)
    return number


def test_an_amount_that_differs_needs_review(client: SignedClient) -> None:
    payment = opened(client)
    SimulatedPayment.objects.update(amount=10_001)
    found, _, code = reconcile()
    assert (kinds(found), code) == ({payment["payment_no"]: "needs_review"}, 0)
    assert f"mismatch {payment['payment_no']}" in reviews(payment)
    SimulatedPayment.objects.update(amount=10_000)


def test_a_number_of_another_environment_is_not_touched(client: SignedClient) -> None:
    payment = paid(client)
    _set_environment("live")
    found, _, code = reconcile()
    assert (kinds(found), code) == ({payment["payment_no"]: "not_adopted"}, 1)
    _set_environment("test")


def _set_environment(environment: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE payments SET environment = %s", [environment])


def test_a_crash_in_the_middle_leaves_nothing_half_done(client: SignedClient) -> None:
    point = RestorePoint()
    lost = paid(client)
    point.restore()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE outbox_events ADD CONSTRAINT crash CHECK (type <> 'payment.succeeded')")
    try:
        with pytest.raises(DatabaseError):
            reconcile()
        assert (Payment.objects.count(), LedgerTransfer.objects.count(), OutboxEvent.objects.count()) == (
            0,
            0,
            0,
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE outbox_events DROP CONSTRAINT crash")
    assert kinds(reconcile()[0]) == {lost["payment_no"]: "adopted"}


def test_two_runs_at_once_adopt_once(client: SignedClient) -> None:
    point = RestorePoint()
    lost = [paid(client) for _ in range(3)]
    for payment in lost:
        data(refund(client, payment, 1_000))
    point.restore()
    at_once(reconcile, reconcile)
    assert (Payment.objects.count(), Refund.objects.count()) == (3, 3)
    types = Counter(OutboxEvent.objects.values_list("type", flat=True))
    assert types == {"payment.created": 3, "payment.succeeded": 3, "refund.succeeded": 3}


def test_a_list_that_breaks_off_is_reported(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(operation: str, _request: Any) -> None:
        if operation == "list_refunds":
            raise ListingFailed("connection reset")

    intercept_simulator(monkeypatch).before = break_off
    point = RestorePoint()
    lost = paid(client)
    point.restore()
    found, _, code = reconcile()
    assert (Counter(each["kind"] for each in found), code) == ({"adopted": 1, "list_unread": 1}, 2)
    assert get_payment(client, lost)["status"] == "succeeded"


@pytest.mark.parametrize("arguments", [["--channel=simulator"], ["--from=2026-01-01"]])
def test_other_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="all channels"):
        call_command("reconcile", f"--since-restore={MOMENT}", *arguments)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"payment_no": "P", "merchant_id": "x"}', '{"merchant_id": "x"}']
)
def test_origins_that_cannot_be_read_name_their_line(line: str, tmp_path: Path) -> None:
    origins = tmp_path / "origins.jsonl"
    origins.write_text(f"\n{line}\n")
    with pytest.raises(CommandError, match="line 2"):
        call_command("reconcile", f"--since-restore={MOMENT}", f"--origins={origins}")


def test_the_account_of_a_merchant_takes_no_payment_of_another(
    acme: NewMerchant, client: SignedClient
) -> None:
    """The owner of an account at the channel can write anything into its lists."""
    add_account(acme, "stripe", credentials={"secret_key": "sk_test_own", "webhook_secret": "whsec_own"})
    (served,) = get_channels_of_accounts("stripe")
    other = new_merchant(name="Other").merchant.id
    forged = choose_origin("PAY-20260101-000001", PaymentOrigin(str(other), "A-1"), served, {})
    assert forged == Origin(acme.merchant.id, "")
    own = choose_origin("PAY-20260101-000001", PaymentOrigin(str(acme.merchant.id), "A-1"), served, {})
    assert own == Origin(acme.merchant.id, "A-1")

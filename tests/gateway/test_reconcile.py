"""`manage.py reconcile` lists every kind of difference between a channel's list and ours, and nothing else."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from channels.base import ListingEntry, ListingFailed, ListingWindow
from channels.simulator import bank as the_bank
from channels.simulator.models import SimulatedPayment, SimulatedRefund
from gateway.models import Payment, PaymentAttempt
from gateway.services.reconciliation import batches
from gateway.services.reconciliation.differences import ComparedCounts, ReconciliationScope, find_differences
from tests.support import bank
from tests.support.channels import intercept_simulator
from tests.support.shop import Body, authorized, cancel, create, data, error, opened, paid, refund, sync
from tests.support.signing import SignedClient
from tests.support.statements import cost

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

TODAY = dt.datetime.now(dt.UTC)
SINCE, UNTIL = (TODAY - dt.timedelta(hours=12)).isoformat(), (TODAY + dt.timedelta(hours=12)).isoformat()


def reconcile(*arguments: str, since: str = SINCE, until: str = UNTIL) -> tuple[list[Body], Body, int]:
    """Runs the command. Returns the differences, the counts and the exit code."""
    output, code = StringIO(), 0
    options = arguments or ("--channel=simulator",)
    try:
        call_command("reconcile", *options, f"--from={since}", f"--to={until}", "--json", stdout=output)
    except SystemExit as ended:
        code = int(ended.code or 0)
    *found, counts = (json.loads(line) for line in output.getvalue().splitlines())
    return found, counts, code


def kinds(found: list[Body]) -> list[tuple[str, str]]:
    return sorted((difference["kind"], difference["reference"]) for difference in found)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 3)


def test_no_differences(client: SignedClient) -> None:
    for simulate in ("", "auto_pay", "processing:900,auto_pay"):
        data(create(client, simulate))
    error(create(client, "decline"), 402, "payment_declined")
    authorized(client)
    data(cancel(client, opened(client)))
    data(
        create(client, "auto_pay", channel="stripe")
    )  # the simulator serves the payment, so its ledger has it
    given = paid(client)
    for amount in (1, 2, 3, 4):
        data(refund(client, given, amount))
    data(refund(client, paid(client, "refund_pending:900"), 5))
    late = opened(client)
    data(cancel(client, late))
    bank.pay_closed_payment(late)
    bank.deliver_webhooks(late["payment_no"])
    found, counts, code = reconcile()
    assert (found, code) == ([], 0)
    assert counts == {"compared": {"payments": 10, "refunds": 5}, "differences": 0}


def change_at_bank(**changes: Any) -> Callable[[Body], None]:
    return lambda payment: SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(**changes)


def delete_at_bank(payment: Body) -> None:
    SimulatedPayment.objects.filter(pk=payment["payment_no"]).delete()


def delete_here(payment: Body) -> None:
    PaymentAttempt.objects.filter(reference=payment["payment_no"]).update(reference="PAY-another")


def pay_without_webhook(payment: Body) -> None:
    bank.pay(payment)


@pytest.mark.parametrize(
    ("breakage", "expected"),
    [
        (delete_at_bank, ["missing_there"]),
        (delete_here, ["missing_here", "missing_there"]),
        (change_at_bank(amount=10_001), ["amount"]),
        (change_at_bank(currency="EUR"), ["currency"]),
        (change_at_bank(state="cancelled"), ["state"]),
        (pay_without_webhook, ["captured", "state"]),
    ],
)
def test_each_difference_of_a_payment(
    client: SignedClient, breakage: Callable[[Body], None], expected: list[str]
) -> None:
    for _ in range(4):
        opened(client)
    payment = opened(client)
    breakage(payment)
    found, counts, code = reconcile()
    assert [kind for kind, _ in kinds(found)] == expected
    assert {difference["reference"] for difference in found} <= {payment["payment_no"], "PAY-another"}
    assert (counts["differences"], code) == (len(expected), 1)


def test_each_difference_of_a_refund(client: SignedClient) -> None:
    payment = paid(client)
    refunds = [data(refund(client, payment, amount))["refund_no"] for amount in (1, 2, 3, 4, 5)]
    gone, amount, currency, state, unknown = refunds
    SimulatedRefund.objects.filter(pk=gone).delete()
    SimulatedRefund.objects.filter(pk=amount).update(amount=99)
    SimulatedRefund.objects.filter(pk=currency).update(currency="EUR")
    SimulatedRefund.objects.filter(pk=state).update(state="failed")
    SimulatedRefund.objects.filter(pk=unknown).update(reference="REF-another")
    found, _, code = reconcile()
    assert kinds(found) == sorted(
        [
            ("refund_missing_there", gone),
            ("refund_amount", amount),
            ("refund_currency", currency),
            ("refund_state", state),
            ("refund_missing_here", "REF-another"),
            ("refund_missing_there", unknown),
        ]
    )
    assert code == 1


def test_it_changes_nothing(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    before = list(Payment.objects.values())
    with cost() as found:
        reconcile()
    assert list(Payment.objects.values()) == before
    allowed = ("SELECT", "CREATE TEMPORARY", "DROP TABLE reconciled", "INSERT INTO reconciled")
    writes = [sql for sql in found.sql if not sql.startswith(allowed)]
    assert writes == []


def test_only_entries_within_the_times_are_compared(client: SignedClient) -> None:
    payment = opened(client)
    moment = Payment.objects.get().created_at
    # The bank wrote its row a little after the end of the window: that is no difference.
    found, counts, _ = reconcile(
        since=(moment - dt.timedelta(hours=1)).isoformat(),
        until=(PaymentAttempt.objects.get().created_at + dt.timedelta(microseconds=1)).isoformat(),
    )
    assert (found, counts["compared"]["payments"]) == ([], 0)
    change_at_bank(state="cancelled")(payment)
    found, _, _ = reconcile(since="2020-01-01", until="2020-01-01")
    assert found == []
    found, _, _ = reconcile(since=f"{moment:%Y-%m-%d}", until=f"{moment + dt.timedelta(days=1):%Y-%m-%d}")
    assert len(found) == 1


def test_a_list_that_breaks_off_exits_with_2(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = intercept_simulator(monkeypatch)
    opened(client)

    def broken(entries: Iterator[ListingEntry[Any]]) -> Iterator[ListingEntry[Any]]:
        yield next(entries)
        raise ListingFailed("status 500")

    simulator.after = lambda operation, answer: broken(answer) if operation == "list_payments" else answer
    with pytest.raises(CommandError, match="broke off: status 500") as failed:
        reconcile()
    assert failed.value.returncode == 2
    simulator.mend()
    assert reconcile()[2] == 0, "the temporary table of the broken run is gone"


def test_memory_is_bounded(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has two thousand entries, and never more than two batches are in memory."""
    monkeypatch.setattr(batches, "BATCH", 100)
    simulator = intercept_simulator(monkeypatch)
    payment = opened(client)
    listed = bank.get_channel_payment(payment["payment_no"])
    alive = most = 0

    class Entry(ListingEntry[Any]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def many(_operation: str, answer: Any) -> Any:
        def entries() -> Iterator[ListingEntry[Any]]:
            nonlocal alive, most
            for number in range(2_000):
                alive += 1
                most = max(most, alive)
                yield Entry(replace(listed, reference=f"PAY-{number}"), TODAY)

        return entries() if _operation == "list_payments" else answer

    simulator.after = many
    hour = dt.timedelta(hours=1)
    scope = ReconciliationScope("simulator", "test", TODAY - hour, TODAY + hour)
    assert sum(1 for _ in find_differences(scope=scope, counts=ComparedCounts())) == 2_001
    assert most <= 2 * batches.BATCH + 2


@pytest.mark.parametrize(
    ("arguments", "error_text"),
    [
        (("--channel=atlantis",), "no channel 'atlantis'"),
        (("--channel=stripe",), "does not serve"),
        (("--channel=simulator", "--environment=live"), "does not serve with live keys"),
    ],
)
def test_channels_that_cannot_be_reconciled(
    transactional_db: None, arguments: tuple[str, ...], error_text: str
) -> None:
    with pytest.raises(CommandError, match=error_text) as refused:
        reconcile(*arguments)
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("since", "until"),
    [("yesterday", UNTIL), ("2026-02-30", UNTIL), (UNTIL, SINCE), ("", UNTIL)],
    ids=["no date", "no such day", "backwards", "empty"],  # the same in every process
)
def test_invalid_times_are_refused(transactional_db: None, since: str, until: str) -> None:
    with pytest.raises(CommandError):
        reconcile(since=since, until=until)


def test_the_output_as_text(client: SignedClient) -> None:
    payment = opened(client)
    change_at_bank(amount=10_001)(payment)
    output = StringIO()
    with pytest.raises(SystemExit):
        call_command("reconcile", "--channel=simulator", f"--from={SINCE}", f"--to={UNTIL}", stdout=output)
    first, last = output.getvalue().splitlines()
    ours, theirs = payment["payment_no"], payment["channel_trade_no"]
    assert first.split() == ["amount", "test", ours, theirs, "here:", "10000", "there:", "10001"]
    assert last == "1 payments and 0 refunds compared, 1 differences."


def test_the_window_reaches_the_channel_with_its_margin(
    client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, requests = intercept_simulator(monkeypatch), []
    simulator.before = lambda operation, request: requests.append(request)
    reconcile(since="2026-01-01", until="2026-01-31")
    first = requests[0]
    assert isinstance(first, ListingWindow)
    assert (first.since, first.until) == (
        dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC),
        dt.datetime(2026, 2, 1, 1, tzinfo=dt.UTC),
    )


def test_a_refund_made_at_the_channel_is_compared_by_the_channels_number(client: SignedClient) -> None:
    payment = paid(client)
    number = the_bank.refund_at_bank(payment["payment_no"], 3_000)
    (missing,), _counts, _code = reconcile()
    assert (missing["kind"], missing["channel_no"]) == ("refund_missing_here", number)
    data(sync(client, payment))
    assert reconcile()[0] == []

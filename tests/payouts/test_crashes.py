"""The process dies at each crash point of a run. Afterwards the money is sent once, or payable again."""

from collections.abc import Callable

import pytest

from common import crash
from common.errors import NotPermitted, OperationRefused
from ledger.balances import read_merchant_balances
from ledger.models import LedgerTransfer
from merchants.services import NewMerchant
from payouts import state_machine
from payouts.models import Payout, PayoutFile, PayoutRun, PayoutRunStatus
from payouts.services import runs
from payouts.services.outcomes import BankOutcome, record_outcome
from tests.payouts.conftest import age_ledger, approve, create_run, give_plan, no_conflict
from tests.support.auditing import _audited  # noqa: F401
from tests.support.background import expire_all_leases
from tests.support.sagas import run_due
from tests.support.shop import paid
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the platform catches it."""


def die_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Makes the process die at this crash point, once."""
    is_dead = False

    def reach(reached: str, *_details: object, **_named: object) -> None:
        nonlocal is_dead
        if reached == point and not is_dead:
            is_dead = True
            raise Killed

    monkeypatch.setattr(crash, "reach", reach)


def die_in(work: Callable[[], object]) -> None:
    with pytest.raises(Killed):
        work()
    expire_all_leases()
    run_due()


@pytest.fixture
def ready(payable: NewMerchant, client: SignedClient) -> NewMerchant:
    paid(client)
    age_ledger()
    return payable


def require_sent_once(merchant: NewMerchant) -> None:
    (payout,) = Payout.objects.all()
    assert (payout.status, payout.amount_minor) == ("in_transit", 10_000)
    assert PayoutFile.objects.count() == 1
    assert LedgerTransfer.objects.filter(event="payout.posted").count() == 1
    (balance,) = read_merchant_balances(merchant_id=merchant.merchant.id, environment="test")
    assert (balance.posted_minor, balance.reserved_minor) == (0, 0)


@pytest.mark.parametrize(
    "point",
    [
        "payout_run.create.before_commit",
        "payout_run.create.after_commit",
        "saga.outcome.before_commit",
        "saga.outcome.after_commit",
    ],
)
def test_a_death_while_the_amounts_are_frozen(
    monkeypatch: pytest.MonkeyPatch, ready: NewMerchant, point: str
) -> None:
    die_at(monkeypatch, point)
    die_in(create_run)
    if point == "payout_run.create.before_commit":
        assert not PayoutRun.objects.exists()
        create_run()
    else:
        with pytest.raises(OperationRefused):
            create_run()
    approve(PayoutRun.objects.get().id)
    require_sent_once(ready)


def test_a_death_before_scheduled_runs_are_committed(
    monkeypatch: pytest.MonkeyPatch, ready: NewMerchant
) -> None:
    give_plan(ready.merchant.id, schedule="daily")
    die_at(monkeypatch, "payout_run.schedule.before_commit")
    die_in(runs.create_scheduled_runs)
    assert not PayoutRun.objects.exists()
    assert [runs.create_scheduled_runs(), runs.create_scheduled_runs()] == [1, 0]
    run_id = PayoutRun.objects.get().id
    runs.adopt_run(run_id=run_id, actor="ann", reason="checked")
    approve(run_id)
    require_sent_once(ready)


@pytest.mark.parametrize(
    "point",
    [
        "payout_run.approve.before_commit",
        "payout_run.approve.after_commit",
        "saga.claim.before_commit",
        "saga.claim.after_commit",
        "saga.outcome.before_commit",
        "saga.outcome.after_commit",
    ],
)
def test_a_death_while_the_run_is_approved_and_exported(
    monkeypatch: pytest.MonkeyPatch, ready: NewMerchant, point: str
) -> None:
    run_id = create_run()
    die_at(monkeypatch, point)
    die_in(lambda: approve(run_id))
    if point == "payout_run.approve.before_commit":
        assert PayoutRun.objects.get().status == PayoutRunStatus.AWAITING_APPROVAL
        approve(run_id)
    else:
        with pytest.raises(NotPermitted):
            approve(run_id)
    require_sent_once(ready)


@pytest.mark.parametrize("step", ["ExportFile", "PostPayouts"])
def test_a_death_inside_a_step_leaves_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, ready: NewMerchant, step: str
) -> None:
    run_id = create_run()
    with monkeypatch.context() as broken:
        where = "payouts.flow.seal" if step == "ExportFile" else "payouts.flow.mark_in_transit"
        broken.setattr(where, _die)
        die_in_without_recovery(lambda: approve(run_id))
    assert not PayoutFile.objects.exists()
    expire_all_leases()
    run_due()
    require_sent_once(ready)


def _die(*_arguments: object, **_named: object) -> str:
    raise Killed


def die_in_without_recovery(work: Callable[[], object]) -> None:
    with pytest.raises(Killed):
        work()


def test_an_outcome_is_recorded_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, ready: NewMerchant
) -> None:
    approve(create_run())
    outcome = BankOutcome(payout_no=Payout.objects.get().payout_no, status="returned", code="AC04")

    def record(actor: str = "bob") -> bool:
        return record_outcome(outcome=outcome, actor=actor, reason="report", find_conflict=no_conflict)

    record("ann")

    with monkeypatch.context() as broken:
        broken.setattr(state_machine, "emit_payout_event", _die)
        die_in_without_recovery(record)
    require_sent_once(ready)
    assert record()
    assert not record(), "the outcome is already recorded"
    assert LedgerTransfer.objects.filter(event="payout.returned").count() == 1

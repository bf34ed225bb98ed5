"""Steps that wait for a signal. All integrity checks run after each test."""

import threading

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from backoffice.renderers import saga_text
from backoffice.services import saga_inspection
from sagas import engine, graph, operations, signals, store
from sagas.definitions import EXTERNAL, LOCAL, WAITING, OnTimeout, Step
from sagas.models import SagaEvent, SagaInstance, SagaSignal, SagaStatus, SagaStep
from sagas.outcomes import StepFailed, Success
from sagas.signals import SignalDelivery
from tests.sagas.conftest import expire_lease, reload, run_due
from tests.support.auditing import _audited  # noqa: F401
from tests.support.sagas import claim_all
from tests.support.statements import cost

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "bank.settled"


@pytest.fixture
def waiting(fake_steps, define_steps):
    """The steps local1, call2, wait3 and call4."""

    def note(context):
        fake_steps.act("local:wait3")
        return {"heard": context.signal}

    def _waiting(*, on_timeout=OnTimeout.FAIL, timeout_seconds=60, pivot="", deadline_seconds=600):
        return define_steps(
            Step(
                "local1", fake_steps.local("local1"), kind=LOCAL, compensate=fake_steps.local("local1:undo")
            ),
            Step(
                "call2",
                fake_steps.external("call2"),
                kind=EXTERNAL,
                compensate=fake_steps.external("call2:undo"),
                pivot=pivot == "call2",
            ),
            Step(
                "wait3",
                note,
                kind=WAITING,
                signal=NAME,
                timeout_seconds=timeout_seconds,
                on_timeout=on_timeout,
                compensate=fake_steps.local("local:wait3:undo"),
            ),
            Step(
                "call4",
                fake_steps.external("call4"),
                kind=EXTERNAL,
                compensate=fake_steps.external("call4:undo"),
            ),
            deadline_seconds=deadline_seconds,
        )

    return _waiting


def deliver(saga, signal_id="evt_1", name=NAME, **payload):
    with transaction.atomic():
        return signals.deliver_signal(saga_id=saga.id, name=name, signal_id=signal_id, payload=payload)


def let_the_wait_pass(saga):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE saga_instances SET waiting_until = now() WHERE id = %s AND waiting_for <> ''", [saga.id]
        )
        assert cursor.rowcount == 1


def step(saga, name="wait3"):
    return SagaStep.objects.get(saga_id=saga.id, step_name=name)


def test_a_waiting_saga_has_no_lease_and_is_not_claimed(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    row = reload(saga)
    assert (row.status, row.waiting_for, row.lease_expires_at) == (SagaStatus.IN_PROGRESS, NAME, None)
    assert 30 < (row.waiting_until - row.updated_at).total_seconds() <= 60
    assert claim_all() == []
    assert engine.resume_saga(saga.id) is None
    assert fake_steps.executed == ["local1", "call2"]
    deliver(saga)
    run_due()


def test_a_signal_wakes_the_saga_and_its_payload_is_read(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    assert deliver(saga, amount=7) is SignalDelivery.WOKE
    run_due()
    row = reload(saga)
    assert (row.status, row.waiting_for, row.waiting_until) == (SagaStatus.COMPLETED, "", None)
    assert step(saga).result == {"heard": {"amount": 7}}
    assert fake_steps.executed == ["local1", "call2", "local:wait3", "call4"]
    assert SagaSignal.objects.get(saga_id=saga.id).taken_by == "wait3"


def test_a_signal_that_comes_before_the_wait_is_kept(fake_steps, waiting, begin):
    saga = begin(waiting())
    assert deliver(saga, early=True) is SignalDelivery.KEPT
    assert engine.advance_saga(saga).status == SagaStatus.COMPLETED
    assert step(saga).result == {"heard": {"early": True}}


def test_a_signal_during_the_commit_that_starts_the_wait_is_noticed(waiting, begin, monkeypatch):
    """The signal arrives after the engine has looked for it and before the saga's row is written: the saga must not
    wait."""
    saga = begin(waiting())
    save, delivered = store.save_saga, []

    def deliver_first(state, **options):
        if state.waiting_for and not delivered:
            thread = threading.Thread(target=lambda: (delivered.append(deliver(saga)), connection.close()))
            thread.start()
            thread.join()
        save(state, **options)

    monkeypatch.setattr(store, "save_saga", deliver_first)
    engine.advance_saga(saga)
    assert delivered == [SignalDelivery.KEPT]
    assert reload(saga).status == SagaStatus.COMPLETED


def test_the_same_signal_again_does_nothing(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    assert [deliver(saga), deliver(saga)] == [SignalDelivery.WOKE, SignalDelivery.REPEATED]
    run_due()
    assert deliver(saga) is SignalDelivery.REPEATED
    assert SagaSignal.objects.filter(saga_id=saga.id).count() == 1
    assert fake_steps.executed.count("local:wait3") == 1


def test_a_signal_of_another_name_is_kept_and_wakes_no_saga(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    assert deliver(saga, name="bank.opened") is SignalDelivery.KEPT
    assert claim_all() == []
    deliver(saga, "evt_2")
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_late_signal_is_recorded(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    let_the_wait_pass(saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPENSATED
    assert deliver(saga, "evt_late") is SignalDelivery.LATE
    assert SagaSignal.objects.get(saga_id=saga.id).taken_at is None
    assert SagaEvent.objects.get(saga_id=saga.id, kind="signal").outcome == "late"
    assert reload(saga).status == SagaStatus.COMPENSATED
    assert "not received yet" in saga_text.format_saga_details(
        saga_inspection.find_saga_details(name=str(saga.id))
    )


def test_a_signal_exists_only_if_its_caller_commits(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        signals.deliver_signal(saga_id=saga.id, name=NAME, signal_id="evt_1")
        raise ZeroDivisionError
    assert claim_all() == []
    assert not SagaSignal.objects.filter(saga_id=saga.id).exists()
    deliver(saga)
    run_due()


def test_a_signal_for_an_unknown_saga_is_refused(db):
    with pytest.raises(signals.UnknownSaga):
        signals.deliver_signal(saga_id="0194a000-0000-7000-8000-000000000000", name=NAME, signal_id="evt_1")


def test_a_timeout_compensates(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    let_the_wait_pass(saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "signal_timed_out")
    assert fake_steps.executed == ["local1", "call2", "call2:undo", "local1:undo"]


def test_a_timeout_continues_where_the_definition_says_so(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting(on_timeout=OnTimeout.CONTINUE)))
    let_the_wait_pass(saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert step(saga).result == {"timed_out": True}
    assert "local:wait3" not in fake_steps.executed


def test_a_timeout_past_the_pivot_needs_review_and_retry_waits_again(waiting, begin):
    saga = engine.advance_saga(begin(waiting(pivot="call2")))
    let_the_wait_pass(saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.needs_attention, row.waiting_for) == (SagaStatus.IN_PROGRESS, True, "")
    operations.retry_step(
        saga_id=saga.id, seen_revision=row.revision, actor="ana", reason="the bank was late"
    )
    run_due()
    assert reload(saga).waiting_for == NAME
    deliver(saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_signal_wins_over_a_timeout_at_the_same_moment(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    let_the_wait_pass(saga)
    (claimed,) = claim_all()
    deliver(saga)
    engine.resume_claimed_saga(claimed)
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_wait_never_outlasts_the_deadline(waiting, begin):
    saga = engine.advance_saga(begin(waiting(timeout_seconds=600, deadline_seconds=600)))
    row = reload(saga)
    assert row.waiting_until == row.deadline_at
    deliver(saga)
    run_due()


def test_a_claim_without_a_signal_neither_prolongs_the_wait_nor_counts_as_no_progress(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    until = reload(saga).waiting_until
    for _time in range(8):
        assert operations.wake_saga(saga_id=saga.id)
        run_due()
    row = reload(saga)
    assert (row.waiting_until, row.needs_attention, row.claims_without_progress) == (until, False, 0)
    deliver(saga)
    run_due()


def test_a_handler_that_refuses_its_signal_compensates(fake_steps, waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    fake_steps.answers("local:wait3", StepFailed("short", "not the whole amount"))
    deliver(saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "short")
    assert SagaSignal.objects.get(saga_id=saga.id).taken_by == "wait3"


@pytest.mark.parametrize("commits", [False, True])
def test_recovery_after_a_worker_died_consuming_a_signal(fake_steps, waiting, begin, commits):
    """Before the commit the next worker consumes the signal; after it no worker consumes it again."""
    saga = engine.advance_saga(begin(waiting()))
    deliver(saga)
    fake_steps.answers("call4" if commits else "local:wait3", SystemExit())
    with pytest.raises(SystemExit):
        engine.resume_saga(saga.id)
    assert (SagaSignal.objects.get(saga_id=saga.id).taken_at is not None) == commits
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert SagaEvent.objects.filter(saga_id=saga.id, step_name="wait3", outcome="success").count() == 1


def test_a_stale_worker_consumes_no_signal(fake_steps, waiting, begin):
    """The worker has lost its lease: the signal that it found stays for the other worker."""
    saga = begin(waiting())

    def another_worker_claims():
        expire_lease(saga.id)
        assert store.claim_saga(saga.id) is not None
        deliver(saga)
        return Success()

    fake_steps.answers("call2", another_worker_claims)
    engine.advance_saga(saga)
    assert SagaSignal.objects.get(saga_id=saga.id).taken_at is None
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_cancellation_and_operations_reach_a_waiting_saga(waiting, begin):
    cancelled, compensated, skipped = (engine.advance_saga(begin(waiting())) for _ in range(3))
    operations.request_saga_cancellation(saga_id=cancelled.id)
    who = {"actor": "ana", "reason": "the bank has called"}
    operations.compensate_saga(saga_id=compensated.id, seen_revision=reload(compensated).revision, **who)
    operations.skip_step(
        saga_id=skipped.id, seen_revision=reload(skipped).revision, result={"heard": {}}, **who
    )
    run_due()
    ends = [reload(saga).status for saga in (cancelled, compensated, skipped)]
    assert ends == [SagaStatus.COMPENSATED, SagaStatus.COMPENSATED, SagaStatus.COMPLETED]


def test_budget(waiting, begin):
    """Waiting needs no commit of its own: two commits until the wait, and three after it, of which one is the claim.
    A signal is one statement."""
    definition = waiting()
    with cost() as paid:
        saga = engine.advance_saga(begin(definition))
    assert paid.commits == 2
    with CaptureQueriesContext(connection) as captured:
        deliver(saga)
    assert (
        len([query for query in captured if "saga_" in query["sql"] and "SAVEPOINT" not in query["sql"]]) == 1
    )
    with cost() as paid:
        engine.resume_saga(saga.id)
    assert paid.commits == 3
    assert reload(saga).status == SagaStatus.COMPLETED


def test_a_timeout_is_found_through_the_index_of_due_sagas(waiting, begin):
    saga = engine.advance_saga(begin(waiting()))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM saga_instances WHERE due_at <= now() ORDER BY due_at LIMIT 100"
        )
        assert "saga_due" in str(cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    deliver(saga)
    run_due()


def test_staff_see_the_signal_that_a_saga_waits_for(waiting, begin):
    definition = waiting()
    saga = engine.advance_saga(begin(definition))
    until = reload(saga).waiting_until.strftime("%Y-%m-%d %H:%M:%S")
    with translation.override("en"):
        text = saga_text.format_saga_details(saga_inspection.find_saga_details(name=str(saga.id)))
        assert f"Signal {NAME}; times out in " in text
        assert f"({until} UTC)" in text
        assert NAME in saga_text.format_sagas(saga_inspection.list_sagas(limit=1))
        drawn = graph.draw_definition(definition)
    assert "waiting" in drawn
    assert f"waits for {NAME}, fails after 1 min" in drawn
    deliver(saga)
    assert SagaInstance.objects.filter(id=saga.id).count() == 1
    run_due()
    assert "evt_1" in saga_text.format_saga_details(saga_inspection.find_saga_details(name=str(saga.id)))

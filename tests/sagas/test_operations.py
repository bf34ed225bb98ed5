"""Operations of staff on sagas: in which states they are allowed, that they need the current revision, and what they
record."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import translation

from common.errors import NotPermitted, StaleView, UnknownObject
from sagas import engine, inspection, operations, registry, store
from sagas.availability import Operation, get_refusals
from sagas.models import Direction, SagaEvent, SagaInstance, SagaStatus, SagaStep
from sagas.outcomes import AlreadySucceeded, CallNotFound, Failure, NeedsReview, Success, Transient, Unknown
from tests.sagas.conftest import expire_lease, reload
from tests.support.sagas import claim_all, run_due
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

FUNCTIONS = {
    Operation.RETRY_NOW: operations.retry_step,
    Operation.QUERY_CHANNEL: operations.query_channel,
    Operation.SKIP_STEP: operations.skip_step,
    Operation.COMPENSATE: operations.compensate_saga,
    Operation.MARK_RESOLVED: operations.resolve_saga,
    Operation.CANCEL: operations.cancel_saga,
}
RETRY, QUERY, SKIP = Operation.RETRY_NOW, Operation.QUERY_CHANNEL, Operation.SKIP_STEP
COMPENSATE, RESOLVE, CANCEL = Operation.COMPENSATE, Operation.MARK_RESOLVED, Operation.CANCEL


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def act(operation: Operation, saga, *, revision: int | None = None, **given: Any):
    perform = FUNCTIONS[operation]
    if operation == SKIP:
        given.setdefault("result", {"by": "a person"})
    seen = reload(saga).revision if revision is None else revision
    words = {"actor": "ana", "reason": "because", **given}
    return perform(saga_id=saga.id, seen_revision=seen, **words)


def everything(saga) -> tuple[Any, ...]:
    return (
        SagaInstance.objects.filter(id=saga.id).values().get(),
        list(SagaStep.objects.filter(saga_id=saga.id).order_by("id").values()),
        list(SagaEvent.objects.filter(saga_id=saga.id).values()),
    )


class Make:
    """Brings a new saga into each state that staff can find it in."""

    def __init__(self, fake_steps, define, begin):
        self.fake_steps, self.define, self.begin = fake_steps, define, begin

    def run(self, definition):
        """Advances the saga until it is released. Where a state needs more, it calls `run_due`."""
        self.fake_steps.executed.clear()
        return engine.advance_saga(self.begin(definition))

    def pending(self):
        return self.begin(self.define(), leased=False)

    def held(self):
        return self.begin(self.define())

    def lease_expired(self):
        saga = self.held()
        expire_lease(saga.id)
        return saga

    def waiting_in_doubt(self):
        self.fake_steps.answers("call2", Unknown("timeout"))
        return self.run(self.define())

    def waiting_for_its_retry(self):
        self.fake_steps.answers("call2", Transient("429", retry_after_seconds=300))
        return self.run(self.define())

    def waiting_without_a_query(self):
        self.fake_steps.answers("call4", Unknown("timeout"))
        return self.run(self.define())

    def needs_review(self):
        self.fake_steps.answers("call2", NeedsReview("amounts differ"))
        return self.run(self.define())

    def failed_past_the_pivot(self):
        self.fake_steps.answers("call4", Failure("gone", "gone"))
        return self.run(self.define(pivot="call2"))

    def pivot_in_doubt(self):
        self.fake_steps.answers("call2", Unknown("?"))
        self.fake_steps.answers("call2:query", Unknown("?"))
        saga = self.run(self.define(pivot="call2", max_retries=1))
        run_due()
        assert reload(saga).needs_attention
        return saga

    def compensation_waiting(self):
        self.fake_steps.answers("call4", Failure("no", "no"))
        self.fake_steps.answers("call2:undo", Unknown("?"))
        return self.run(self.define())

    def compensation_failed(self):
        self.fake_steps.answers("call4", Failure("no", "no"))
        self.fake_steps.answers("call2:undo", Failure("no", "cannot be undone"))
        return self.run(self.define())

    def resolved(self):
        saga = self.compensation_failed()
        act(RESOLVE, saga)
        return saga

    def completed(self):
        return self.run(self.define())

    def compensated(self):
        self.fake_steps.answers("call2", Failure("no", "no"))
        return self.run(self.define())

    def of_an_unknown_version(self):
        saga = self.pending()
        long_ago = Now() - timedelta(seconds=store.ROLL_OUT_SECONDS)
        SagaInstance.objects.filter(id=saga.id).update(definition_version=99, created_at=long_ago)
        store.claim_saga(saga.id)
        assert reload(saga).needs_attention
        return saga


@pytest.fixture
def make(fake_steps, define, begin):
    return Make(fake_steps, define, begin)


BEFORE_THE_PIVOT = {RETRY, COMPENSATE, CANCEL}
ALLOWED = {
    "pending": BEFORE_THE_PIVOT,
    "held": set(),
    "lease_expired": {*BEFORE_THE_PIVOT, QUERY, SKIP},
    "waiting_in_doubt": {*BEFORE_THE_PIVOT, QUERY, SKIP},
    "waiting_for_its_retry": {*BEFORE_THE_PIVOT, SKIP},
    "waiting_without_a_query": {*BEFORE_THE_PIVOT, SKIP},
    "needs_review": set(Operation),
    "failed_past_the_pivot": {RETRY, SKIP, RESOLVE},
    "pivot_in_doubt": {RETRY, QUERY, SKIP, CANCEL, RESOLVE},
    "compensation_waiting": {RETRY, SKIP},
    "compensation_failed": {RETRY, SKIP, RESOLVE},
    "resolved": set(),
    "completed": set(),
    "compensated": set(),
    "of_an_unknown_version": set(),
}


@pytest.mark.parametrize("state", ALLOWED)
def test_every_operation_in_every_state(state, make, subtests):
    """An allowed operation is done and recorded. Any other is refused with the text of `get_refusals` and changes no
    row."""
    for operation in Operation:
        with subtests.test(operation.value):
            make.fake_steps.script.clear()
            saga = getattr(make, state)()
            why_not = get_refusals(inspection.get_saga_view(saga.id))
            assert {each for each, why in why_not.items() if not why} == ALLOWED[state], why_not
            before = everything(saga)
            if operation not in ALLOWED[state]:
                with pytest.raises(NotPermitted) as refused:
                    act(operation, saga)
                assert str(refused.value) == why_not[operation] != ""
                assert everything(saga) == before
                continue
            done = act(operation, saga)
            row, event = reload(saga), SagaEvent.objects.filter(saga_id=saga.id).last()
            assert (row.revision, row.fence) == (before[0]["revision"] + 1, before[0]["fence"] + 1)
            assert done.revision == row.revision
            assert (event.kind, event.outcome) == (SagaEvent.Kind.PERSON, operation.value)
            assert (event.actor, event.reason, event.fence) == ("ana", "because", row.fence)
            assert event.detail == {"before": done.before, "after": done.after}
            assert done.before != done.after or operation in (RETRY, QUERY)
            run_due()
            assert not reload(saga).needs_attention
            assert reload(saga).status in (
                {SagaStatus.FAILED}
                if operation == RESOLVE
                else {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}
            )


def test_retry_resets_the_retries(fake_steps, make):
    saga = make.pivot_in_doubt()
    fake_steps.executed.clear()
    fake_steps.answers("call2:query", Unknown("?"), Success())
    act(RETRY, saga)
    run_due()
    assert fake_steps.executed == ["call2:query", "call2:query", "local3", "call4"]
    assert reload(saga).status == SagaStatus.COMPLETED


def test_retry_reopens_a_failed_compensation(fake_steps, make):
    saga = make.compensation_failed()
    fake_steps.executed.clear()
    act(RETRY, saga)
    assert (reload(saga).status, reload(saga).needs_attention) == (SagaStatus.IN_PROGRESS, False)
    run_due()
    assert fake_steps.executed == ["call2:undo", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_retry_before_a_compensation_keeps_completed_steps(fake_steps, make):
    """One person compensates the saga, and another one retries it before a worker has claimed it."""
    saga = make.waiting_for_its_retry()
    act(COMPENSATE, saga)
    act(RETRY, saga)
    run_due()
    assert fake_steps.executed == ["local1", "call2", "local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_retry_past_the_pivot_clears_the_failure(make):
    saga = make.failed_past_the_pivot()
    act(RETRY, saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.error_code, row.error_message) == (SagaStatus.COMPLETED, "", "")


def test_a_failed_saga_is_not_reopened_beside_an_open_one(make):
    saga = make.compensation_failed()
    row = reload(saga)
    other = make.begin(registry.find_definition(row.definition, row.definition_version), leased=False)
    SagaInstance.objects.filter(id=other.id).update(business_id=row.business_id)
    before = everything(saga)
    with pytest.raises(NotPermitted, match="Another saga"):
        act(RETRY, saga)
    assert everything(saga) == before


def test_query_channel_queries_first_and_spends_no_retry(fake_steps, make):
    saga = make.pivot_in_doubt()
    fake_steps.executed.clear()
    fake_steps.answers("call2:query", CallNotFound())
    act(QUERY, saga)
    assert SagaStep.objects.get(saga_id=saga.id, step_name="call2").retry_count == 1
    run_due()
    assert fake_steps.executed == ["call2:query", "call2", "local3", "call4"]


def test_a_skipped_step_is_completed_with_the_given_result(fake_steps, make):
    saga = make.needs_review()
    fake_steps.executed.clear()
    act(SKIP, saga, result={"channel_trade_no": "T-1"})
    step = SagaStep.objects.get(saga_id=saga.id, step_name="call2")
    assert (step.status, step.in_doubt, step.result) == ("completed", False, {"channel_trade_no": "T-1"})
    assert step.executed_at is not None
    event = SagaEvent.objects.filter(saga_id=saga.id).last()
    assert event.step_name == "call2"
    assert event.detail["after"]["result"] == {"channel_trade_no": "T-1"}
    assert reload(saga).current_step == 2
    run_due()
    assert fake_steps.executed == ["local3", "call4"]
    assert reload(saga).status == SagaStatus.COMPLETED


def test_skipping_the_pivot_passes_the_pivot(fake_steps, make):
    saga = make.pivot_in_doubt()
    act(SKIP, saga)
    assert reload(saga).past_pivot
    assert get_refusals(inspection.get_saga_view(saga.id))[COMPENSATE]


def test_skipping_a_compensation_keeps_the_result_of_the_step(fake_steps, make):
    saga = make.compensation_failed()
    fake_steps.executed.clear()
    act(SKIP, saga, result={"undone": "by phone"})
    step = SagaStep.objects.get(saga_id=saga.id, step_name="call2")
    assert (step.status, step.result, step.compensate_data) == (
        "compensated",
        {"by": "call2"},
        {"undone": "by phone"},
    )
    run_due()
    assert fake_steps.executed == ["local1:undo"]
    assert reload(saga).status == SagaStatus.COMPENSATED


def test_an_operation_after_the_deadline_extends_the_deadline(fake_steps, define, begin):
    fake_steps.answers("call2", NeedsReview("amounts differ"))
    saga = engine.advance_saga(begin(define(deadline_seconds=60)))
    SagaInstance.objects.filter(id=saga.id).update(deadline_at=reload(saga).created_at)
    act(SKIP, saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED


def test_compensate_gives_the_call_in_doubt_retries_of_its_own(fake_steps, make):
    fake_steps.answers("call2:query", *[Unknown("?")] * 2)
    saga = make.waiting_in_doubt()
    for _again in range(2):
        expire_lease(saga.id)
        engine.resume_saga(saga.id)
    fake_steps.executed.clear()
    fake_steps.answers("call2:undo", Unknown("?"), Unknown("?"), Success())
    act(COMPENSATE, saga)
    run_due()
    assert fake_steps.executed == ["call2:undo", "call2:undo", "call2:undo", "local1:undo"]
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "compensated_by_staff")
    assert "because" not in row.error_message, "merchants see it"


def test_a_payment_that_turns_out_paid_while_compensated_goes_forward(fake_steps, make):
    saga = make.waiting_in_doubt()
    fake_steps.answers("call2:undo", AlreadySucceeded({"paid": True}))
    act(COMPENSATE, saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.direction) == (SagaStatus.COMPLETED, Direction.FORWARD)


def test_cancel_queries_a_pivot_in_doubt_first(fake_steps, make):
    saga = make.pivot_in_doubt()
    fake_steps.executed.clear()
    fake_steps.answers("call2:query", Success())
    act(CANCEL, saga)
    run_due()
    assert fake_steps.executed == ["call2:query", "local3", "call4"]
    assert reload(saga).status == SagaStatus.COMPLETED


def test_resolving_closes_an_open_saga_as_failed(make):
    saga = make.pivot_in_doubt()
    act(RESOLVE, saga)
    row = reload(saga)
    assert (row.status, row.needs_attention, row.lease_expires_at) == (SagaStatus.FAILED, False, None)
    assert row.error_code == "outcome_unknown"
    assert SagaStep.objects.get(saga_id=saga.id, step_name="call2").in_doubt
    run_due()
    assert reload(saga).revision == row.revision


def test_resolving_a_failed_saga_only_clears_its_flag(make):
    saga = make.completed()
    SagaInstance.objects.filter(id=saga.id).update(needs_attention=True, attention_reason="late money")
    act(RESOLVE, saga)
    assert (reload(saga).status, reload(saga).needs_attention) == (SagaStatus.COMPLETED, False)


class TestFencing:
    def test_an_operation_on_an_old_revision_is_refused(self, make):
        saga = make.needs_review()
        seen = reload(saga).revision
        act(RETRY, saga)
        before = everything(saga)
        with pytest.raises(StaleView) as stale:
            act(COMPENSATE, saga, revision=seen)
        assert stale.value.current_revision == reload(saga).revision == seen + 1
        assert everything(saga) == before

    @pytest.mark.parametrize("rival", Operation)
    def test_one_of_two_simultaneous_operations_succeeds(self, make, rival):
        saga = make.needs_review()
        seen = reload(saga).revision

        def answer(operation: Operation) -> Callable[[], str]:
            def run() -> str:
                try:
                    act(operation, saga, revision=seen)
                except StaleView:
                    return "stale"
                return "done"

            return run

        assert sorted(at_once(answer(RETRY), answer(rival))) == ["done", "stale"]
        assert SagaEvent.objects.filter(saga_id=saga.id, kind=SagaEvent.Kind.PERSON).count() == 1

    @pytest.mark.parametrize("operation", [RETRY, QUERY, SKIP, COMPENSATE, CANCEL])
    def test_a_stale_worker_writes_nothing_after_an_operation(self, fake_steps, define, begin, operation):
        slow = begin(define())

        def a_person_acts_meanwhile():
            expire_lease(slow.id)
            act(operation, slow)
            person_left.append(everything(slow))
            return Success({"by": "the slow one"})

        person_left = []
        fake_steps.answers("call2", a_person_acts_meanwhile)
        engine.advance_saga(slow)
        assert everything(slow) == person_left[0]
        run_due()
        assert reload(slow).status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)


def test_actor_and_reason_are_required(make):
    saga = make.needs_review()
    before = everything(saga)
    for missing in ({"actor": " "}, {"reason": ""}, {"reason": "\n "}):
        with pytest.raises(NotPermitted, match="Give your name"):
            act(RETRY, saga, **missing)
    assert everything(saga) == before


def test_a_saga_that_does_not_exist(make):
    saga = make.completed()
    SagaInstance.objects.all().delete()
    with pytest.raises(UnknownObject, match=str(saga.id)):
        act(RETRY, saga, revision=1)


def test_an_operation_and_its_history_are_one_transaction(make, monkeypatch):
    saga = make.needs_review()
    before = everything(saga)

    def broken(**_row):
        raise ZeroDivisionError

    monkeypatch.setattr(SagaEvent.objects, "create", broken)
    with pytest.raises(ZeroDivisionError):
        act(RETRY, saga)
    assert everything(saga) == before


def test_views_of_many_sagas_cost_as_many_queries_as_one(make, django_assert_num_queries):
    for _again in range(3):
        make.completed()
    with django_assert_num_queries(4):
        assert len(inspection.get_saga_views(SagaInstance.objects.all())) == 3


def test_filter_due_matches_what_workers_claim(make):
    for state in ("pending", "lease_expired", "waiting_in_doubt", "waiting_for_its_retry"):
        getattr(make, state)()
    for state in ("held", "needs_review", "completed", "compensation_failed"):
        getattr(make, state)()
    found = {row.id for row in inspection.filter_due(SagaInstance.objects.all())}
    assert len(found) == 3
    assert {saga.id for saga in claim_all()} == found

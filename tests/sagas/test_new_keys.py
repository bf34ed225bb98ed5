"""The idempotency key of a call: the same for every repetition while its outcome is in doubt, and another one once it
is certain that the earlier calls had no effect. The number that the key is made of is committed with the intent."""

import pytest

from sagas import engine, operations
from sagas.definitions import EXTERNAL, RetryPolicy, Step
from sagas.models import SagaStatus, SagaStep
from sagas.outcomes import CallNotFound, NoEffect, Success, Transient, Unknown
from tests.sagas.conftest import expire_lease, reload, run_due
from tests.support.auditing import _audited  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def seen(fake_steps, define_steps, begin):
    """A saga of one pivot, and the calls that were made, as (kind, key, intended_at)."""
    calls = []

    def handler(name):
        def handle(call):
            calls.append((name, call.key, call.intended_at))
            return fake_steps.act(name)

        return handle

    step = Step(
        "pay",
        handler("pay"),
        kind=EXTERNAL,
        query=handler("pay:query"),
        pivot=True,
        retry=RetryPolicy(max_retries=3, base_seconds=0.0),
    )
    return begin(define_steps(step)), calls


def suffixes(calls):
    return [(name, key.partition(":pay:forward")[2]) for name, key, _at in calls]


def test_a_key_is_repeated_while_the_outcome_is_in_doubt(fake_steps, seen):
    saga, calls = seen
    fake_steps.answers("pay", Unknown("lost"), Transient("busy"), Success())
    fake_steps.answers("pay:query", CallNotFound(), CallNotFound())
    engine.advance_saga(saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert {key for _name, key, _at in calls} == {f"{saga.id}:pay:forward"}
    assert len({at for _name, _key, at in calls}) == 1, "parameters computed from `intended_at` would change"


def test_a_used_up_key_is_replaced_at_once(fake_steps, seen):
    saga, calls = seen
    fake_steps.answers("pay", Unknown("500"), NoEffect("500, kept under the key"))
    fake_steps.answers("pay:query", CallNotFound())
    engine.advance_saga(saga)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert suffixes(calls) == [("pay", ""), ("pay:query", ""), ("pay", ""), ("pay", "#2")]
    assert calls[0][2] == calls[2][2] < calls[3][2]
    step = SagaStep.objects.get(saga_id=saga.id)
    assert (step.call_number, step.retry_count) == (2, 2)


def test_a_query_with_a_definite_answer_ends_the_doubt(fake_steps, seen):
    """No call had an effect, and each new call is refused: the saga is compensated and needs no review."""
    saga, calls = seen
    fake_steps.answers("pay", Unknown("lost"), *[Transient("busy")] * 3)
    fake_steps.answers("pay:query", NoEffect("still open", spends_attempt=False))
    engine.advance_saga(saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.needs_attention, row.error_code) == (
        SagaStatus.COMPENSATED,
        False,
        "retries_exhausted",
    )
    assert suffixes(calls) == [("pay", ""), ("pay:query", ""), *[("pay", "#2")] * 3]


def test_each_used_up_key_spends_an_attempt(fake_steps, seen):
    saga, calls = seen
    fake_steps.answers("pay", *[NoEffect("500, kept under the key")] * 10)
    engine.advance_saga(saga)
    run_due()
    row = reload(saga)
    assert (row.status, row.error_code) == (SagaStatus.COMPENSATED, "retries_exhausted")
    assert suffixes(calls) == [("pay", ""), ("pay", "#2"), ("pay", "#3"), ("pay", "#4")]


def test_the_next_worker_uses_a_new_key_that_was_committed(fake_steps, seen):
    saga, calls = seen
    fake_steps.answers("pay", NoEffect("500, kept under the key"), SystemExit())
    fake_steps.answers("pay:query", CallNotFound())
    with pytest.raises(SystemExit):
        engine.advance_saga(saga)
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert suffixes(calls) == [("pay", ""), ("pay", "#2"), ("pay:query", "#2"), ("pay", "#2")]
    assert len({at for _name, key, at in calls if key.endswith("#2")}) == 1


def test_a_new_key_that_was_not_committed_is_never_used(fake_steps, seen):
    """The worker crashes before it commits that the key is used up: the next worker repeats the old key and gets the
    same answer."""
    saga, calls = seen
    fake_steps.answers("pay", Unknown("500"))
    engine.advance_saga(saga)
    fake_steps.answers("pay:query", CallNotFound(), CallNotFound())
    fake_steps.answers("pay", SystemExit(), NoEffect("500, kept under the key"))
    with pytest.raises(SystemExit):
        run_due()
    expire_lease(saga.id)
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert [suffix for name, suffix in suffixes(calls) if name == "pay"] == ["", "", "", "#2"]


def test_a_retry_by_staff_repeats_the_key_of_the_call_in_doubt(fake_steps, seen):
    saga, calls = seen
    fake_steps.answers("pay", *[Unknown("lost")] * 4)
    fake_steps.answers("pay:query", *[CallNotFound()] * 4)
    engine.advance_saga(saga)
    run_due()
    row = reload(saga)
    assert row.needs_attention
    operations.retry_step(saga_id=saga.id, seen_revision=row.revision, actor="ana", reason="the bank is back")
    fake_steps.answers("pay", NoEffect("500, kept under the key"))
    run_due()
    assert reload(saga).status == SagaStatus.COMPLETED
    assert suffixes(calls)[-3:] == [("pay:query", ""), ("pay", ""), ("pay", "#2")]

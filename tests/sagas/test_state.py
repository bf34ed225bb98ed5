"""The properties of a saga in memory. No database."""

import itertools
import uuid

import pytest

from sagas.models import Direction, SagaStatus, StepStatus
from sagas.outcomes import (
    AlreadySucceeded,
    CallNotFound,
    Failure,
    NeedsReview,
    NextCall,
    NoEffect,
    StepFailed,
    Success,
    Transient,
    Unknown,
    get_outcome_name,
)
from sagas.state import StepAttempt, create_state, get_call_key, get_log_fields
from tests.sagas.planned import call, complete, local, saga_of


@pytest.mark.parametrize("status", StepStatus)
@pytest.mark.parametrize(("in_doubt", "compensating"), list(itertools.product([False, True], repeat=2)))
def test_an_attempt_leaves_a_trace(status: StepStatus, in_doubt: bool, compensating: bool) -> None:
    (step,) = saga_of(local("a")).steps
    step.status, step.in_doubt, step.compensating = status, in_doubt, compensating
    assert step.was_attempted is (status == StepStatus.COMPLETED or in_doubt or compensating)


@pytest.mark.parametrize("status", StepStatus)
@pytest.mark.parametrize("pause", [None, 0.0, 1.0])
def test_a_failed_step_without_a_retry_has_failed_for_good(status: StepStatus, pause: float | None) -> None:
    (step,) = saga_of(local("a")).steps
    step.status, step.retry_in_seconds = status, pause
    assert step.has_failed_for_good is (status == StepStatus.FAILED and pause is None)


def test_results_and_completed_steps() -> None:
    saga = saga_of(local("a"), call("b"), call("c"))
    assert (saga.results, saga.current_step) == ({}, 0)
    complete(*saga.steps[:2])
    saga.steps[0].result, saga.steps[2].result = {}, {"n": 1}
    assert (saga.results, saga.current_step) == ({"a": {}, "c": {"n": 1}}, 2)
    assert saga.get_step("b") is saga.steps[1]


@pytest.mark.parametrize("status", SagaStatus)
def test_pending_and_running_sagas_are_active(status: SagaStatus) -> None:
    saga = saga_of(local("a"))
    saga.status = status
    assert saga.is_active is (status in (SagaStatus.PENDING, SagaStatus.IN_PROGRESS))


def test_a_reason_is_what_makes_a_saga_need_review() -> None:
    saga = saga_of(local("a"))
    assert saga.needs_attention is False
    saga.attention_reason = "odd"
    assert saga.needs_attention is True


def test_one_step_that_waits_makes_the_saga_wait() -> None:
    saga = saga_of(local("a"), local("b"))
    assert saga.waits_for_retry is False
    saga.steps[1].retry_in_seconds = 0.0
    assert saga.waits_for_retry is True


def test_a_saga_moves_only_where_it_may() -> None:
    saga = saga_of(local("a"))
    saga.move_to(SagaStatus.COMPLETED)
    assert saga.status == SagaStatus.COMPLETED
    with pytest.raises(AssertionError, match="cannot become"):
        saga.move_to(SagaStatus.FAILED)


def test_a_draft_can_be_thrown_away() -> None:
    saga = saga_of(local("a"), call("b"))
    saga.attempts.append(StepAttempt("a", Direction.FORWARD, "success"))
    saga.written_objects["payment"] = object()
    saga.found_no_signal, saga.update_with_release = True, object()  # type: ignore[assignment]
    saga.fence, saga.attention_reason = 7, "odd"
    draft = saga.make_draft()
    assert (draft.id, draft.fence, draft.attention_reason) == (saga.id, 7, "odd")
    assert (draft.definition, draft.data) == (saga.definition, saga.data)
    assert draft.steps == saga.steps
    assert draft.attempts == saga.attempts
    assert (draft.written_objects, draft.found_no_signal, draft.update_with_release) == ({}, False, None)
    draft.steps[0].status, draft.fence = StepStatus.COMPLETED, 8
    draft.attempts.clear()
    assert (saga.steps[0].status, saga.fence, len(saga.attempts)) == (StepStatus.PENDING, 7, 1)
    assert len(saga.written_objects) == 1


def test_a_new_saga_has_the_steps_of_its_definition() -> None:
    saga_id = uuid.uuid4()
    definition = saga_of(local("a"), call("b"), deadline_seconds=60).definition
    saga = create_state(definition, saga_id=saga_id, business_id="PAY-7", data={"n": 1})
    assert (saga.id, saga.business_id, saga.data, saga.definition) == (saga_id, "PAY-7", {"n": 1}, definition)
    assert [(step.order, step.name, step.max_retry_count) for step in saga.steps] == [
        (1, "a", 3),
        (2, "b", 2),
    ]
    assert len({step.id for step in saga.steps}) == 2
    assert all(isinstance(step.id, uuid.UUID) for step in saga.steps)
    assert saga.deadline_in_seconds == 60
    assert saga.failure is None
    short = create_state(definition, saga_id=saga_id, business_id="", data={}, deadline_seconds=0)
    assert short.deadline_in_seconds == 0


def test_a_call_keeps_its_key_until_it_is_a_new_call() -> None:
    saga = saga_of(call("a"))
    (step,) = saga.steps
    forward, back = Direction.FORWARD, Direction.COMPENSATING
    assert get_call_key(saga, step, forward) == f"{saga.id}:a:forward"
    step.call_number = 2
    assert get_call_key(saga, step, forward) == f"{saga.id}:a:forward#2"
    assert get_call_key(saga, step, back) == f"{saga.id}:a:compensating"


def test_log_fields_name_the_saga_and_the_step() -> None:
    saga = saga_of(call("a"))
    own = {"saga_id": str(saga.id), "payment_no": "PAY-1"}
    assert get_log_fields(saga) == own
    saga.steps[0].retry_count = 1
    expected = {**own, "saga.step": "a", "saga.direction": "forward", "saga.attempt": 2}
    assert get_log_fields(saga, saga.steps[0]) == expected


def test_each_outcome_keeps_its_stored_name() -> None:
    names = [
        (Success(), "success"),
        (Failure("", ""), "failure"),
        (Transient(""), "transient"),
        (Unknown(""), "unknown"),
        (NextCall({}), "another"),
        (CallNotFound(), "notfound"),
        (NoEffect(""), "nothinghappened"),
        (AlreadySucceeded(), "honoured"),
        (NeedsReview(""), "undecidable"),
    ]
    assert [get_outcome_name(outcome) for outcome, _name in names] == [name for _outcome, name in names]


def test_a_refused_step_has_a_code_and_a_message() -> None:
    refused = StepFailed("closed", "the payment is closed")
    assert (refused.code, refused.message) == ("closed", "the payment is closed")
    assert refused.args == ("closed", "the payment is closed")

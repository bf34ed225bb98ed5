"""The rules of a saga, without a database: Hypothesis looks for a sequence of answers that breaks them."""

import itertools
import random
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from sagas import planner
from sagas.definitions import EXTERNAL, LOCAL, Definition, RetryPolicy, Step, parallel
from sagas.models import Direction, SagaStatus, StepStatus
from sagas.outcomes import AlreadySucceeded, Failure, NeedsReview, NoEffect, Success, Transient, Unknown
from sagas.planner import MakeCalls, Release, RunLocalStep
from sagas.state import create_state

FORWARD = st.sampled_from(
    [
        Success({"ok": 1}),
        Success({}),
        Failure("no", "no"),
        Transient("busy"),
        Unknown("lost"),
        NeedsReview("odd"),
        NoEffect("its key is used up"),
    ]
)
BACKWARD = st.sampled_from(
    [
        Success({}),
        Success({}),
        Failure("no", "no"),
        Transient("busy"),
        Unknown("lost"),
        AlreadySucceeded({"paid": 1}),
    ]
)


@st.composite
def definitions(draw):
    kinds = draw(st.lists(st.sampled_from([LOCAL, EXTERNAL]), min_size=1, max_size=5))
    pivot = draw(st.one_of(st.none(), st.integers(0, len(kinds) - 1)))
    steps = tuple(
        Step(
            f"s{number}",
            lambda _seen: None,
            kind=kind,
            compensate=(lambda _seen: None) if draw(st.booleans()) else None,
            pivot=number == pivot,
            retry=RetryPolicy(max_retries=draw(st.integers(0, 2))),
        )
        for number, kind in enumerate(kinds)
    )
    return Definition(
        name="property", version=1, business_type="t", deadline_seconds=1, steps=_grouped(draw, steps)
    )


def _grouped(draw, steps):
    """Puts some of the neighbouring steps that can be called in parallel into groups."""
    grouped = []
    for fits, run in itertools.groupby(steps, key=lambda step: step.kind is EXTERNAL and not step.pivot):
        neighbours = tuple(run)
        can = fits and len(neighbours) > 1
        grouped += parallel(*neighbours) if can and draw(st.booleans()) else neighbours
    return tuple(grouped)


@settings(max_examples=600, deadline=None)
@given(definition=definitions(), data=st.data())
def test_every_script_ends_in_an_allowed_state(definition, data):
    saga = create_state(definition, saga_id=uuid.uuid4(), business_id="b", data={})
    executed, undone = set(), []
    for _move in range(200):
        if data.draw(st.integers(0, 20)) == 0:
            saga.deadline_passed = True
        move = planner.next_move(saga)
        if isinstance(move, Release):
            if not saga.waits_for_retry:
                break
            for step in saga.steps:
                if step.retry_in_seconds is not None:
                    step.status, step.retry_in_seconds = StepStatus.PENDING, None
            continue
        steps = move.steps if isinstance(move, MakeCalls) else (move.step,)
        forward = saga.direction == Direction.FORWARD
        for step in steps:
            external = isinstance(move, MakeCalls)
            if forward:
                outcome = data.draw(FORWARD) if external else Success({})
                if external:
                    step.has_fresh_intent, step.in_doubt = not step.in_doubt, True
                # Steps that may have had an effect: a lost answer counts until a definite answer replaces it.
                if isinstance(outcome, Success | Unknown | NeedsReview):
                    executed.add(step.name)
                elif isinstance(outcome, Failure | NoEffect):
                    executed.discard(step.name)
            else:
                outcome = data.draw(BACKWARD) if external else Success({})
                if isinstance(outcome, Success):
                    undone.append(step.name)
            planner.record_outcome(saga, step, outcome)
        planner.align_retries(saga)
    else:
        raise AssertionError("the saga was never released")
    _check_end(definition, saga, executed, undone)


def _check_end(definition, saga, executed, undone):
    assert not saga.is_active or saga.needs_attention, "neither ended nor in review"
    assert undone == sorted(undone, reverse=True), "compensated out of order"
    assert len(undone) == len(set(undone)), "compensated twice"
    match saga.status:
        case SagaStatus.COMPLETED:
            assert all(step.status == StepStatus.COMPLETED for step in saga.steps)
        case SagaStatus.COMPENSATED:
            compensable = [name for name in executed if definition.get_step(name).compensate is not None]
            assert set(compensable) <= set(undone), "an attempted step was not compensated"
            assert not saga.past_pivot, "compensated after the pivot"
            assert not any(step.in_doubt for step in saga.steps)
        case SagaStatus.FAILED:
            assert saga.needs_attention


def test_retry_pauses_grow_with_full_jitter_up_to_the_cap(settings):
    settings.SAGA_RETRY_BASE_SECONDS, settings.SAGA_RETRY_CAP_SECONDS = 1.0, 5.0
    definition = Definition(
        name="jitter",
        version=1,
        business_type="t",
        deadline_seconds=1,
        steps=(Step("call", lambda _call: None, kind=EXTERNAL, retry=RetryPolicy(max_retries=6)),),
    )
    longest = [0.0] * 6
    for seed in range(300):
        random.seed(seed)
        saga = create_state(definition, saga_id=uuid.uuid4(), business_id="b", data={})
        for attempt in range(6):
            planner.record_outcome(saga, saga.steps[0], Unknown("?"))
            wait = saga.steps[0].retry_in_seconds
            assert 0 <= wait <= min(5.0, 2.0**attempt)
            longest[attempt] = max(longest[attempt], wait)
            saga.steps[0].retry_in_seconds = None
    assert longest[0] > 0.9
    assert longest[2] > 3.5
    assert longest[5] > 4.8


def test_a_released_saga_has_no_further_move(settings):
    definition = Definition(
        name="rest",
        version=1,
        business_type="t",
        deadline_seconds=1,
        steps=(Step("l", lambda _c: None, kind=LOCAL),),
    )
    saga = create_state(definition, saga_id=uuid.uuid4(), business_id="b", data={})
    move = planner.next_move(saga)
    assert isinstance(move, RunLocalStep)
    planner.record_outcome(saga, move.step, Success({}))
    assert isinstance(planner.next_move(saga), Release)
    assert saga.status == SagaStatus.COMPLETED

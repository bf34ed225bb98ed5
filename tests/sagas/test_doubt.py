"""How the planner resolves a call in doubt, tested against a model of the other system: Hypothesis loses, refuses and
delays calls. A call that had an effect is never recorded as failed, and a saga whose doubt a query has resolved needs
no review."""

import uuid
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from sagas import planner
from sagas.definitions import EXTERNAL, LOCAL, Definition, RetryPolicy, Step
from sagas.models import Direction, SagaStatus, StepStatus
from sagas.outcomes import CallNotFound, Failure, NoEffect, Outcome, Success, Transient, Unknown
from sagas.planner import MakeCalls, Release
from sagas.state import create_state

# The fates of a call. A refused call certainly had no effect.
FATES = ("works", "lost before", "lost after", "refused", "stored error", "declined")
QUERIES = ("answered", "answered", "answered", "lost")


@dataclass
class OtherSide:
    """A system that stores its answers under the idempotency keys and has at most one effect for each key. `single`: it
    has one effect in all, as a bank cancels or captures once."""

    single: bool
    effects: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def call(self, key: str, fate: str) -> Outcome:
        if fate in ("lost before", "refused"):
            return Unknown("lost") if fate == "lost before" else Transient("busy")
        if key in self.kept:
            answer = self.kept[key]
        else:
            answer = {"stored error": "error", "declined": "declined"}.get(fate, "made")
            if answer == "made" and not (self.single and self.effects):
                self.effects.append(key)
            if answer == "error":
                self.kept[key] = answer
                return Unknown("500")
            self.kept[key] = answer
        if fate == "lost after":
            return Unknown("lost")
        if answer == "error":
            return Success() if self.effects else NoEffect("500, kept under the key")
        return Success() if answer == "made" else Failure("declined", "no")

    def query(self, fate: str) -> Outcome:
        if fate == "lost":
            return Unknown("lost")
        if self.effects:
            return Success()
        return NoEffect("not there", spends_attempt=False) if self.single else CallNotFound()


def definition() -> Definition:
    def nothing(_seen: object) -> None:
        return None

    return Definition(
        name="doubt",
        version=1,
        business_type="t",
        deadline_seconds=1,
        steps=(
            Step("reserve", nothing, kind=LOCAL, compensate=nothing),
            Step("pay", nothing, kind=EXTERNAL, query=nothing, pivot=True, retry=RetryPolicy(max_retries=3)),
        ),
    )


@settings(max_examples=400, deadline=None)
@given(data=st.data(), single=st.booleans())
def test_a_step_in_doubt_ends_with_the_real_outcome(data: st.DataObject, single: bool) -> None:
    there = OtherSide(single)
    saga = create_state(definition(), saga_id=uuid.uuid4(), business_id="b", data={})
    last_query, last_was_lost = "", False
    for _move in range(60):
        move = planner.next_move(saga)
        if isinstance(move, Release):
            if not saga.waits_for_retry:
                break
            for step in saga.steps:
                if step.retry_in_seconds is not None:
                    step.status, step.retry_in_seconds = StepStatus.PENDING, None
            if data.draw(st.booleans()):
                saga.deadline_passed = True
            continue
        if not isinstance(move, MakeCalls):
            planner.record_outcome(saga, move.step, Success())
            continue
        (step,) = move.steps
        assert saga.direction == Direction.FORWARD
        step.has_fresh_intent, step.in_doubt = not step.in_doubt, True
        outcome: Outcome = CallNotFound()
        if not step.has_fresh_intent:
            last_query = data.draw(st.sampled_from(QUERIES))
            outcome = there.query(last_query)
        if isinstance(outcome, CallNotFound):
            fate = data.draw(st.sampled_from(FATES))
            last_was_lost = fate.startswith("lost") or fate == "stored error"
            outcome = there.call(f"key#{step.call_number}", fate)
        planner.record_outcome(saga, step, outcome)
    else:
        raise AssertionError("the saga was never released")
    assert len(there.effects) <= 1, "the call had two effects"
    match saga.status:
        case SagaStatus.COMPLETED:
            assert there.effects, "completed, although the call had no effect"
        case SagaStatus.COMPENSATED:
            assert not there.effects, "compensated, although the call had an effect"
        case _:
            assert saga.needs_attention
            # The saga needs review for a reason: the last call or query was lost, or a call may still arrive.
            assert last_was_lost or last_query == "lost" or not single

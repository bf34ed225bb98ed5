"""Hypothesis plays several workers, a broker that loses messages, staff and the called systems, on a real database.

Hypothesis draws which worker claims or dies, which lease expires during a call, and what the other system answers. Then
the integrity checks must pass. A run is deterministic: workers alternate at commits and during calls only.

    pytest tests/sagas/test_state_machine.py             a few examples
    pytest tests/sagas/test_state_machine.py --long      many, and longer ones
"""

import contextlib
import uuid

import hypothesis
import pytest
from django.db import connection, transaction
from django.db.models import Case, When
from django.db.models.functions import Now
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from common.errors import OperationRefused
from sagas import engine, operations, signals, store
from sagas.definitions import EXTERNAL, LOCAL, WAITING, OnTimeout, RetryPolicy, Step, parallel
from sagas.models import SagaInstance
from sagas.outcomes import CallNotFound, Failure, NeedsReview, NoEffect, Success, Transient, Unknown
from sagas.start import start_saga
from tests.sagas.conftest import expire_lease
from tests.support.auditing import findings
from tests.support.sagas import claim_all

pytestmark = pytest.mark.django_db(transaction=True)

ALONE = ("call2", "call6")
CALLS = (*ALONE, "a", "b")
FORWARD = (
    Success(),
    Failure("no", "no"),
    Transient("busy"),
    Unknown("lost"),
    NeedsReview("odd"),
    NoEffect("its key is used up"),
)
ANSWERS = {
    **dict.fromkeys(CALLS, FORWARD),
    "call2:query": (*FORWARD, CallNotFound(), NoEffect("not there", spends_attempt=False)),
    **{f"{name}:undo": (Success(), Transient("busy"), Unknown("lost")) for name in CALLS},
}
STAFF = (operations.retry_step, operations.compensate_saga, operations.cancel_saga, operations.resolve_saga)
INDEX = st.integers(0, 20)


def steps_of(fake_steps, pivot, on_timeout):
    retry = RetryPolicy(max_retries=2, base_seconds=0.0)

    def call(name, **options):
        undo = fake_steps.external(f"{name}:undo")
        return Step(name, fake_steps.external(name), kind=EXTERNAL, compensate=undo, retry=retry, **options)

    return (
        Step("local1", fake_steps.local("local1"), kind=LOCAL, compensate=fake_steps.local("local1:undo")),
        call("call2", query=fake_steps.external("call2:query")),
        *parallel(call("a"), call("b")),
        Step(
            "wait5",
            fake_steps.local("local:wait5"),
            kind=WAITING,
            signal="settled",
            timeout_seconds=300,
            on_timeout=on_timeout,
        ),
        call("call6", pivot=pivot),
    )


class Schedules(RuleBasedStateMachine):
    """`held` are sagas that a worker has claimed and not yet advanced."""

    def __init__(self, fake_steps, definitions):
        super().__init__()
        self.fake_steps, self.definitions = fake_steps, definitions
        self.fake_steps.script.clear()
        self.sagas, self.held = [], []
        SagaInstance.objects.all().delete()

    def teardown(self):
        """Ends every saga: all calls succeed, and leases and waits expire. Then all integrity checks run."""
        self.fake_steps.script.clear()
        for _round in range(40):
            self._time_passes()
            claimed = self._claim()
            if not claimed:
                break
            for saga in claimed:
                engine.resume_claimed_saga(saga)
        found = findings()
        assert not found, "\n".join(found)

    def _time_passes(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE saga_instances SET lease_expires_at = now() WHERE lease_expires_at > now()"
            )
            cursor.execute("UPDATE saga_instances SET waiting_until = now() WHERE waiting_until > now()")
            cursor.execute("UPDATE saga_steps SET next_retry_at = now() WHERE next_retry_at > now()")

    @rule(which=INDEX)
    @precondition(lambda self: len(self.sagas) < 3)
    def start(self, which):
        definition = self.definitions[which % len(self.definitions)]
        saga_id = uuid.UUID(int=len(self.sagas) + 1)  # the same ids in each run give the same order of claims
        with transaction.atomic():
            saga = start_saga(definition, saga_id=saga_id, business_id=str(saga_id), data={})
        self.sagas.append(saga_id)
        self.held.append(saga)

    @rule(name=st.sampled_from(sorted(ANSWERS)), which=INDEX)
    def answer(self, name, which):
        self.fake_steps.answers(name, ANSWERS[name][which % len(ANSWERS[name])])

    @rule(name=st.sampled_from(ALONE), which=INDEX)
    @precondition(lambda self: self.sagas)
    def lease_expires_during_the_call(self, name, which):
        """The lease expires during the next call of this name, and another worker resumes the saga. Steps of a group
        are left out: their threads decide which calls that worker finds made, so the run would not be deterministic."""
        saga_id = self.sagas[which % len(self.sagas)]

        def another_worker_resumes():
            expire_active_lease(saga_id)
            engine.resume_saga(saga_id)
            return Success({"by": "the slow one"})

        self.fake_steps.answers(name, another_worker_resumes)

    @rule(which=INDEX)
    @precondition(lambda self: self.held)
    def advance(self, which):
        engine.advance_saga(self.held.pop(which % len(self.held)))

    @rule(which=INDEX)
    @precondition(lambda self: self.held)
    def die(self, which):
        self.held.pop(which % len(self.held))

    @rule(which=INDEX)
    @precondition(lambda self: self.sagas)
    def lease_runs_out(self, which):
        expire_active_lease(self.sagas[which % len(self.sagas)])

    @rule()
    def time_passes(self):
        self._time_passes()

    @rule()
    def claim(self):
        self.held += self._claim()

    def _claim(self):
        return sorted(claim_all(), key=lambda saga: saga.id)

    @rule(which=INDEX)
    @precondition(lambda self: self.sagas)
    def a_request_claims(self, which):
        if saga := store.claim_saga(self.sagas[which % len(self.sagas)]):
            self.held.append(saga)

    @rule(
        which=INDEX, signal_id=st.sampled_from(["evt_1", "evt_2"]), name=st.sampled_from(["settled", "other"])
    )
    @precondition(lambda self: self.sagas)
    def signal(self, which, signal_id, name):
        with transaction.atomic():
            signals.deliver_signal(
                saga_id=self.sagas[which % len(self.sagas)], name=name, signal_id=signal_id
            )

    @rule(which=INDEX)
    @precondition(lambda self: self.sagas)
    def merchant_cancels(self, which):
        operations.request_saga_cancellation(saga_id=self.sagas[which % len(self.sagas)])

    @rule(which=INDEX)
    @precondition(lambda self: self.sagas)
    def update_wakes(self, which):
        operations.wake_saga(saga_id=self.sagas[which % len(self.sagas)])

    @rule(which=INDEX)
    @precondition(lambda self: self.sagas)
    def deadline_passes(self, which):
        SagaInstance.objects.filter(id=self.sagas[which % len(self.sagas)]).update(
            deadline_at=Now(),
            waiting_until=Case(When(waiting_until__isnull=False, then=Now()), default=None),
        )

    @rule(which=INDEX, operate=st.sampled_from(STAFF))
    @precondition(lambda self: self.sagas)
    def staff_operates(self, which, operate):
        saga = SagaInstance.objects.get(id=self.sagas[which % len(self.sagas)])
        with contextlib.suppress(OperationRefused):
            operate(saga_id=saga.id, seen_revision=saga.revision, actor="ana", reason="drawn")


def expire_active_lease(saga_id):
    if SagaInstance.objects.filter(id=saga_id, lease_expires_at__isnull=False).exists():
        expire_lease(saga_id)


def test_every_schedule_passes_the_integrity_checks(fake_steps, define_steps, pytestconfig):
    long = pytestconfig.getoption("--long", False)
    definitions = [
        define_steps(*steps_of(fake_steps, pivot, on_timeout))
        for pivot in (False, True)
        for on_timeout in (OnTimeout.FAIL, OnTimeout.CONTINUE)
    ]
    run_state_machine_as_test(
        lambda: Schedules(fake_steps, definitions),
        settings=hypothesis.settings(
            max_examples=300 if long else 8,
            stateful_step_count=60 if long else 30,
            derandomize=not long,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )

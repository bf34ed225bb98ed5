"""`saga_steps.execute_data` holds the redacted input of each step that was begun."""

import json
import uuid

import pytest
from django.db import transaction

from sagas import engine
from sagas.definitions import EXTERNAL, LOCAL, Step
from sagas.models import SagaStep
from sagas.outcomes import NoEffect, Success, Unknown
from sagas.start import start_saga
from sagas.step_input import MAX_BYTES
from tests.support.sagas import run_due

pytestmark = pytest.mark.django_db(transaction=True)


def inputs_of(saga) -> dict[str, dict]:
    return dict(SagaStep.objects.filter(saga_id=saga.id).values_list("step_name", "execute_data"))


def test_each_step_has_its_data_and_the_results_of_earlier_steps(fake_steps, define, begin):
    fake_steps.answers("call2", Success({"state": "paid"}))
    saga = engine.advance_saga(begin(define()))
    inputs = inputs_of(saga)
    assert all(given["data"] == {"n": 1} for given in inputs.values())
    assert inputs["local1"]["results"] == {}
    assert inputs["call2"]["key"] == f"{saga.id}:call2:forward"
    assert inputs["local3"]["results"]["call2"] == {"state": "paid"}
    assert set(inputs["call4"]["results"]) == {"local1", "call2", "local3"}


def test_a_step_that_was_not_begun_has_none(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("timeout"))
    saga = engine.advance_saga(begin(define()))
    inputs = inputs_of(saga)
    assert inputs["call2"] is not None
    assert (inputs["local3"], inputs["call4"]) == (None, None)


def test_a_retry_keeps_the_input_and_a_new_call_has_the_new_key(fake_steps, define, begin):
    fake_steps.answers("call2", Unknown("timeout"), NoEffect("never arrived"))
    fake_steps.answers("call2:query", NoEffect("not there", spends_attempt=False))
    saga = engine.advance_saga(begin(define()))
    assert inputs_of(saga)["call2"]["key"] == f"{saga.id}:call2:forward"
    run_due()
    assert inputs_of(saga)["call2"]["key"].startswith(f"{saga.id}:call2:forward#")


def test_secrets_and_card_numbers_are_hidden(define_steps):
    result = {"token": "tok_1", "note": "4111 1111 1111 1111"}
    definition = define_steps(
        Step("first", lambda _context: result, kind=LOCAL),
        Step("second", lambda _call: Success(), kind=EXTERNAL),
    )
    data = {
        "api_key": "anything",
        "note": "sk_live_abcdef123456 and 4242424242424242",
        "customer": {"email": "ana@example.com", "phone": "+49 30 1234"},
        "headers": [["Authorization", "Bearer abcdefghij"]],
        "url": "https://shop.example/?token=abcdef",
    }
    with transaction.atomic():
        saga = start_saga(definition, saga_id=uuid.uuid4(), business_id="B-1", data=data)
    text = json.dumps(inputs_of(engine.advance_saga(saga)))
    secrets = (
        "anything sk_live_abcdef123456 4242424242424242 ana@example.com abcdefghij token=abcdef tok_1 4111"
    )
    for secret in secrets.split():
        assert secret not in text, secret


def test_a_large_input_is_replaced_by_its_field_names(define_steps):
    definition = define_steps(Step("only", lambda _call: Success(), kind=EXTERNAL))
    data = {f"field{number}": "x" * 1_500 for number in range(20)}
    with transaction.atomic():
        saga = start_saga(definition, saga_id=uuid.uuid4(), business_id="B-1", data=data)
    given = inputs_of(engine.advance_saga(saga))["only"]
    assert (given["truncated"], given["data"]) == (True, sorted(data))
    assert given["size_bytes"] > 20 * 1_500
    assert given["key"] == f"{saga.id}:only:forward"
    assert len(json.dumps(given)) < MAX_BYTES

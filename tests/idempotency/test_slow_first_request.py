"""The first request is slower than its leases: a worker or a repetition finishes its work while it waits for the
channel. Then its answer must equal the stored answer, byte for byte."""

import pytest
from django.core.cache import cache as redis

from gateway.models import Payment
from idempotency.models import IdempotencyKey
from tests.support import background, bank
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.shop import PAYMENTS, data, error, new_no, payment_request
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def meanwhile(line: InterceptedSimulator, happens) -> None:
    """Calls `happens` once, while the first request waits for the bank's answer."""

    def after(operation, answer):
        if operation == "create_payment":
            line.mend()
            happens()
        return answer

    line.after = after


def test_an_answer_whose_commit_was_rolled_back_is_never_sent(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    wanted, key = payment_request("auto_pay"), new_no("key")

    def a_worker_resumes():
        background.expire_all_leases()
        background.finish()

    meanwhile(line, a_worker_resumes)
    answer = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert data(answer)["status"] == "succeeded"
    record = IdempotencyKey.objects.get(key=key)
    assert (record.state, bytes(record.response_body)) == ("completed", answer.content)
    redis.clear()
    assert client.post(PAYMENTS, wanted, idempotency_key=key).content == answer.content


def test_the_request_that_claimed_the_key_last_answers(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    wanted, key = payment_request(), new_no("key")
    others = []

    def the_client_repeats_and_the_customer_pays():
        background.expire_all_leases()
        others.append(client.post(PAYMENTS, wanted, idempotency_key=key))
        bank.pay(data(others[0]))
        bank.deliver_webhooks(data(others[0])["payment_no"])

    meanwhile(line, the_client_repeats_and_the_customer_pays)
    answer = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert answer.content == others[0].content
    assert data(answer)["status"] == "pending"
    assert Payment.objects.get().status == "succeeded"


def test_another_body_is_refused_while_the_first_is_slow_and_after(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The other body is compared with the first one, whether that is read from PostgreSQL or from Redis."""
    wanted, key = payment_request(), new_no("key")
    other = {**wanted, "subject": "Another name for it"}
    refused = []

    def the_client_repeats():
        background.expire_all_leases()
        refused.append(client.post(PAYMENTS, other, idempotency_key=key))
        client.post(PAYMENTS, wanted, idempotency_key=key)

    meanwhile(line, the_client_repeats)
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    refused.append(client.post(PAYMENTS, other, idempotency_key=key))
    for answer in refused:
        assert error(answer, 422, "idempotency_key_reused")["fields"] == ["subject"]
    assert client.post(PAYMENTS, wanted, idempotency_key=key).content == first.content

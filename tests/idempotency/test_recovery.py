"""A key gets the same answer under concurrent requests, with Redis down or corrupted, and after a crash."""

import json
import threading
from typing import Any

import pytest
from django_redis import get_redis_connection

from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from orders.models import Order
from tests.support import background, bank
from tests.support.channels import InterceptedSimulator, Killed, intercept_simulator
from tests.support.shop import (
    PAYMENTS,
    create,
    data,
    error,
    get_payment,
    new_no,
    paid,
    payment_request,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.statements import cost
from tests.support.threads import at_once, in_background
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


# --- Many at once -------------------------------------------------------------------------------------------------


@pytest.fixture
def _long_leases(settings) -> None:
    """On a slow machine too, the leases of a request's key and saga do not expire while it is served."""
    settings.IDEMPOTENCY_LEASE_SECONDS = settings.SAGA_LEASE_SECONDS = 600.0


@pytest.mark.usefixtures("_long_leases")
def test_a_request_in_flight_is_not_started_twice(client: SignedClient, line: InterceptedSimulator) -> None:
    calling, release = threading.Event(), threading.Event()

    def hold(_operation: str, _request: object) -> None:
        calling.set()
        assert release.wait(PATIENCE_SECONDS)

    line.before = hold
    wanted, key = payment_request(), new_no("key")
    first = in_background(lambda: client.post(PAYMENTS, wanted, idempotency_key=key))
    assert calling.wait(PATIENCE_SECONDS)
    answer = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert error(answer, 409, "idempotency_in_flight") == {"idempotency_key": key}
    assert int(answer["Retry-After"]) >= 1
    error(client.post(PAYMENTS, {**wanted, "amount": 1}, idempotency_key=key), 422, "idempotency_key_reused")
    release.set()
    done = first.result()
    data(done)
    assert client.post(PAYMENTS, wanted, idempotency_key=key).content == done.content
    assert Payment.objects.count() == 1


@pytest.mark.usefixtures("_long_leases")
def test_fifty_requests_with_one_key_make_one_payment(client: SignedClient) -> None:
    """Each of 20 rounds sends 50 concurrent requests. One payment is made, and every other answer is 409 or the same
    bytes. In every second round each request names another order, so that only the key connects them: the others may
    get 422 too.
    """
    for number in range(1, 21):
        wanted, key = payment_request("auto_pay"), new_no("key")
        bodies = [{**wanted, "order_no": new_no()} if number % 2 else wanted for _ in range(50)]
        answers = at_once(
            *[lambda body=body, key=key: client.post(PAYMENTS, body, idempotency_key=key) for body in bodies]
        )
        done = {answer.content for answer in answers if answer.status_code == 200}
        assert len(done) == 1, done
        assert (
            sum(answer.status_code == 200 and "Idempotent-Replayed" not in answer for answer in answers) == 1
        )
        for answer in answers:
            if answer.status_code == 422 and number % 2:
                assert error(answer, 422, "idempotency_key_reused")["fields"] == ["order_no"]
            elif answer.status_code != 200:
                error(answer, 409, "idempotency_in_flight")
        assert (Payment.objects.count(), Order.objects.count()) == (number, number)
        assert bank.read_ledger(json.loads(done.pop())["data"]["payment_no"]) == [("charge", 10_000)]


@pytest.mark.usefixtures("_long_leases")
def test_many_refund_requests_with_one_key_make_one_refund(client: SignedClient) -> None:
    payment, key = paid(client), new_no("key")
    answers = at_once(*[lambda: refund(client, payment, 100, key=key)] * 20)
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert Refund.objects.count() == 1


# --- Redis -----------------------------------------------------------------------------------------------------------


def _entries(*keys: str) -> list[bytes]:
    """Returns the entries of these keys only: other tests use the same Redis at the same time."""
    redis = get_redis_connection("default")
    return [name for key in keys for name in redis.scan_iter(f"payment-gateway:idempotency:{key}*")]


def _forget(*keys: str) -> None:
    get_redis_connection("default").delete(*_entries(*keys))


def test_a_flushed_redis_changes_no_answer(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    for _ in range(2):
        _forget(key)
        again = client.post(PAYMENTS, wanted, idempotency_key=key)
        assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
        assert _entries(key), "the replay filled it again"
    assert Payment.objects.count() == 1


def test_a_channel_that_refuses_today_changes_no_answer(client: SignedClient, settings: Any) -> None:
    """A repetition makes no new payment: it gets the answer from PostgreSQL, although the channel could not be chosen
    now."""
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    data(first)
    _forget(key)
    settings.CHANNELS = [path for path in settings.CHANNELS if "simulator" not in path]
    error(
        client.post(PAYMENTS, payment_request(), idempotency_key=new_no("key")), 422, "channel_not_available"
    )
    again = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert (again.status_code, again.content) == (200, first.content)
    error(client.post(PAYMENTS, {**wanted, "amount": 1}, idempotency_key=key), 422, "idempotency_key_reused")
    assert Payment.objects.count() == 1


def test_a_replay_of_a_refund_reads_no_payment(client: SignedClient) -> None:
    payment, key = paid(client), new_no("key")
    first = refund(client, payment, 100, key=key)
    data(first)
    with cost() as found:
        again = refund(client, payment, 100, key=key)
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert len(found.statements) == 1, found.statements  # its authentication


def test_a_redis_that_is_down_changes_no_answer(client: SignedClient, redis_down: None) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    data(first)
    again = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    error(client.post(PAYMENTS, {**wanted, "amount": 1}, idempotency_key=key), 422, "idempotency_key_reused")
    assert Payment.objects.count() == 1


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff",
        b'"x"',
        b"[" * 50_000,
        b'{"answer": 1, "mac": 2}',
        b'{"answer": "{}", "mac": "\\ud800"}',
        b'{"answer": "{}", "mac": null}',
        b'{"mac": "00", "answer": {"status": 200}}',
    ],
)
def test_invalid_entries_in_redis_are_ignored(client: SignedClient, lie: bytes) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    for name in _entries(key):
        get_redis_connection("default").set(name, lie)
    again = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert (again.status_code, again.content) == (200, first.content)


def test_an_entry_of_another_type_in_redis_is_ignored(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    redis = get_redis_connection("default")
    for name in _entries(key):
        redis.delete(name)
        redis.rpush(name, b"1")
    assert client.post(PAYMENTS, wanted, idempotency_key=key).content == first.content


def test_a_changed_answer_in_redis_is_ignored(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    redis = get_redis_connection("default")
    for name in _entries(key):
        entry = json.loads(redis.get(name))
        if "answer" in entry:
            entry["answer"] = json.dumps({**json.loads(entry["answer"]), "body": "e30="})
        redis.set(name, json.dumps(entry))
    assert client.post(PAYMENTS, wanted, idempotency_key=key).content == first.content


def test_an_entry_copied_from_another_scope_is_ignored(
    client: SignedClient, other_client: SignedClient
) -> None:
    """Valid entries of another merchant's key with the same name, and of another key of the same merchant."""
    key, foreign_key, redis = new_no("key"), new_no("key"), get_redis_connection("default")
    wanted = payment_request()
    client.post(PAYMENTS, payment_request(), idempotency_key=foreign_key)
    other_client.post(PAYMENTS, payment_request(), idempotency_key=key)
    foreign = [redis.get(name) for name in _entries(key, foreign_key) if b'"mac"' in redis.get(name)]
    assert len(foreign) == 2
    _forget(key, foreign_key)
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    mine = [name for name in _entries(key) if b'"mac"' in redis.get(name)]
    for entry in foreign:
        for name in mine:
            redis.set(name, entry)
        assert client.post(PAYMENTS, wanted, idempotency_key=key).content == first.content
    assert Payment.objects.count() == 3


def test_redis_names_the_key_for_operators(client: SignedClient) -> None:
    """The quick start reads the entry by the name of the key alone."""
    key = new_no("key")
    create(client, key=key)
    note = json.loads(get_redis_connection("default").get(f"payment-gateway:idempotency:{key}"))
    assert (note["state"], note["status"]) == ("completed", 200)


# --- The first request died ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
@pytest.mark.parametrize("simulate", ["auto_pay", "decline"])
def test_the_repetition_of_a_killed_request_resumes_it(
    client: SignedClient, line: InterceptedSimulator, moment: str, simulate: str
) -> None:
    wanted, key = payment_request(simulate), new_no("key")
    getattr(line, moment)("create_payment")
    with pytest.raises(Killed):
        client.post(PAYMENTS, wanted, idempotency_key=key)
    line.mend()
    error(client.post(PAYMENTS, wanted, idempotency_key=key), 409, "idempotency_in_flight")

    background.expire_all_leases()
    answer = client.post(PAYMENTS, wanted, idempotency_key=key)

    payment = Payment.objects.get()
    if simulate == "decline":
        error(answer, 402, "payment_declined")
        assert payment.status == "failed"
        assert bank.read_ledger(payment.payment_no) == []
    else:
        assert data(answer)["payment_no"] == payment.payment_no
        assert bank.read_ledger(payment.payment_no) == [("charge", 10_000)]
    again = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert (again.content, again["Idempotent-Replayed"]) == (answer.content, "true")


def test_a_worker_may_finish_before_the_repetition(client: SignedClient, line: InterceptedSimulator) -> None:
    wanted, key = payment_request("auto_pay"), new_no("key")
    line.kill_after("create_payment")
    with pytest.raises(Killed):
        client.post(PAYMENTS, wanted, idempotency_key=key)
    line.mend()
    background.expire_all_leases()
    background.finish()
    assert data(client.post(PAYMENTS, wanted, idempotency_key=key))["status"] == "succeeded"
    assert bank.read_ledger(Payment.objects.get().payment_no) == [("charge", 10_000)]


def test_a_repetition_while_a_worker_holds_the_saga_gets_202(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The lease of the key has expired and that of the saga has not: a worker may be calling the channel now."""
    wanted, key = payment_request("auto_pay"), new_no("key")
    line.kill_before("create_payment")
    with pytest.raises(Killed):
        client.post(PAYMENTS, wanted, idempotency_key=key)
    line.mend()
    IdempotencyKey.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    assert data(client.post(PAYMENTS, wanted, idempotency_key=key), 202)["status"] == "pending"
    background.expire_all_leases()
    assert data(client.post(PAYMENTS, wanted, idempotency_key=key))["status"] == "succeeded"


@pytest.mark.usefixtures("_long_leases")
def test_many_repetitions_of_a_killed_request_make_one_payment(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    wanted, key = payment_request("auto_pay"), new_no("key")
    line.kill_before("create_payment")
    with pytest.raises(Killed):
        client.post(PAYMENTS, wanted, idempotency_key=key)
    line.mend()
    background.expire_all_leases()
    answers = at_once(*[lambda: client.post(PAYMENTS, wanted, idempotency_key=key)] * 20)
    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert bank.read_ledger(Payment.objects.get().payment_no) == [("charge", 10_000)]


def test_a_killed_refund_is_resumed_once(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, key = paid(client), new_no("key")
    line.kill_after("refund_payment")
    with pytest.raises(Killed):
        refund(client, payment, 4_000, key=key)
    line.mend()
    background.expire_all_leases()
    assert data(refund(client, payment, 4_000, key=key))["status"] == "succeeded"
    assert get_payment(client, payment)["refunded_amount"] == 4_000
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 4_000)]


def test_another_body_never_resumes_a_crashed_request(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """A key stays bound to the body of its first request, even if that request crashed."""
    wanted, key = payment_request(), new_no("key")
    line.kill_before("create_payment")
    with pytest.raises(Killed):
        client.post(PAYMENTS, wanted, idempotency_key=key)
    line.mend()
    background.expire_all_leases()
    refused = client.post(PAYMENTS, {**wanted, "order_no": new_no()}, idempotency_key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["order_no"]
    assert data(client.post(PAYMENTS, wanted, idempotency_key=key))["order_no"] == wanted["order_no"]
    assert Payment.objects.count() == 1


def test_an_internal_error_is_500_and_the_repetition_succeeds(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    wanted, key = payment_request(), new_no("key")

    def stumble(_operation: str, _request: object) -> None:
        raise RuntimeError("secret detail")

    line.before = stumble
    answer = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert error(answer, 500, "internal_error") == {}
    assert b"secret detail" not in answer.content
    line.mend()
    background.expire_all_leases()
    data(client.post(PAYMENTS, wanted, idempotency_key=key))
    assert Payment.objects.count() == 1

"""The rules of idempotency keys: which rows a claim writes, which fields it compares, and what a repetition gets."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test import RequestFactory
from django_redis import get_redis_connection

from common.api.envelope import Answer
from common.db import insert_together
from common.errors import NotFound, ServiceUnavailable, ValidationFailed
from idempotency import cache, metrics
from idempotency.cache import StoredAnswer
from idempotency.errors import IdempotencyKeyReused, RequestInFlight
from idempotency.models import IdempotencyKey
from idempotency.request import KeyedRequest, is_usable_key, read_keyed_request
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key, claim_used_key, find_claim, store_refusal
from idempotency.services.finish_claim import finish_claim, write_in_one_commit
from idempotency.services.replay import find_replay, name_stored_answer
from merchants.models import Merchant
from orders.errors import OrderMismatch

pytestmark = pytest.mark.django_db(transaction=True)

DONE = Answer(200, b'{"code":0}')


@pytest.fixture
def request_() -> Iterator[KeyedRequest]:
    """A request with a new key, so that Redis has no entry of another test for it."""
    key = f"key-{uuid.uuid4().hex}"
    yield KeyedRequest(
        "acme:test", "POST", "/payments", key, {"amount": "a1", "note": "n1"}, frozenset({"note"})
    )
    redis = get_redis_connection("default")
    redis.delete(*(redis.keys(f"{cache.PREFIX}:{key}*") or ["none"]))


def forget(request: KeyedRequest) -> None:
    get_redis_connection("default").delete(cache.get_redis_name(request))


def begin_nothing(_claim: Claim[str]) -> str:
    return "begun"


def complete(claim: Claim[str]) -> Answer:
    with transaction.atomic():
        claim.complete(DONE)
    return DONE


def done(request: KeyedRequest) -> Answer:
    return finish_claim(claim_key(request, begin=begin_nothing), work=complete)


def counts(route: str = "/payments") -> dict[str, float]:
    return {
        "requests": metrics.REQUESTS.labels(route)._value.get(),
        **{source: metrics.CACHE_HITS.labels(route, source)._value.get() for source in ("redis", "postgres")},
        **{
            kind: metrics.CONFLICTS.labels(route, kind)._value.get()
            for kind in ("in_flight", "payload_mismatch", "key_reused")
        },
    }


def counted(before: dict[str, float]) -> dict[str, float]:
    return {name: now - before[name] for name, now in counts().items() if now != before[name]}


# --- A new key ----------------------------------------------------------------------------------------------------


def test_a_new_key_is_in_flight_with_all_that_identifies_it(request_: KeyedRequest) -> None:
    before, seen = counts(), []

    def begin(claim: Claim[str]) -> str:
        seen.append((claim.resource_id, connection.in_atomic_block, claim.answer, claim.was_answered_before))
        return "begun"

    claim = claim_key(request_, begin=begin)
    row = IdempotencyKey.objects.get()
    assert (row.tenant, row.method, row.route, row.key) == ("acme:test", "POST", "/payments", request_.key)
    assert (row.state, row.fence, row.field_fingerprints) == ("in_flight", 1, {"amount": "a1", "note": "n1"})
    assert (row.response_status, row.response_body, row.completed_at) == (None, None, None)
    assert seen == [(row.resource_id, True, None, False)]
    assert (claim.started, claim.resource_id, claim.answer) == ("begun", row.resource_id, None)
    assert (claim.is_superseded, claim.was_answered_before, claim.request) == (False, False, request_)
    assert counted(before) == {"requests": 1}


def test_the_lease_is_as_long_as_the_settings_say(request_: KeyedRequest, settings: object) -> None:
    settings.IDEMPOTENCY_LEASE_SECONDS = 600.0  # type: ignore[attr-defined]
    claim_key(request_, begin=begin_nothing)
    assert 500 < seconds_of_lease() <= 600


def seconds_of_lease() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM lease_expires_at - now()) FROM idempotency_keys")
        return float(cursor.fetchone()[0])


def test_an_answer_is_stored_in_the_transaction_of_the_write(request_: KeyedRequest) -> None:
    claim = claim_key(request_, begin=begin_nothing)
    with transaction.atomic():
        claim.complete(DONE)
        assert claim.answer is None, "the answer counts only after the commit"
    assert claim.answer == DONE
    row = IdempotencyKey.objects.get()
    assert (row.state, row.response_status, bytes(row.response_body or b"")) == ("completed", 200, DONE.body)
    assert row.completed_at is not None
    assert (claim.is_superseded, claim.was_answered_before) == (False, False)


def test_a_rolled_back_answer_is_not_stored(request_: KeyedRequest) -> None:
    claim = claim_key(request_, begin=begin_nothing)
    with transaction.atomic():
        claim.complete(DONE)
        transaction.set_rollback(True)
    assert claim.answer is None
    assert IdempotencyKey.objects.get().state == "in_flight"


def test_without_a_key_the_write_happens_each_time(request_: KeyedRequest) -> None:
    keyless, before, seen = replace(request_, key=None), counts(), []

    def begin(claim: Claim[str]) -> str:
        seen.append((claim.resource_id, connection.in_atomic_block))
        return "begun"

    for _ in range(2):
        claim = claim_key(keyless, begin=begin)
        assert (claim.started, claim.build_rows(), claim.get_completion(DONE)) == ("begun", [], None)
        assert finish_claim(claim, work=complete) == DONE
        claim.release()
    (first, atomic), (second, _atomic) = seen
    assert (first != second, atomic) == (True, True)
    assert not IdempotencyKey.objects.exists()
    assert counted(before) == {}
    assert find_claim(keyless) is None


def test_a_keyless_write_that_fails_leaves_nothing(request_: KeyedRequest) -> None:
    def begin(_claim: Claim[str]) -> str:
        Merchant.objects.create(email="half@example.com", name="Half")
        raise OrderMismatch

    with pytest.raises(OrderMismatch):
        claim_key(replace(request_, key=None), begin=begin)
    assert not Merchant.objects.exists()


# --- With one statement -------------------------------------------------------------------------------------------


def test_a_write_of_one_statement_inserts_the_key_itself(request_: KeyedRequest) -> None:
    seen = []

    def begin_in_one_statement(claim: Claim[str], moment: dt.datetime) -> str:
        seen.append((moment, connection.in_atomic_block))
        insert_together(*claim.build_rows())
        return "at once"

    moment = dt.datetime.now(dt.UTC)
    claim = claim_key(
        request_, begin=begin_nothing, begin_in_one_statement=begin_in_one_statement, now=moment
    )
    assert (claim.started, seen) == ("at once", [(moment, False)])
    assert finish_claim(claim, work=complete) == DONE
    again = claim_key(
        request_, begin=begin_nothing, begin_in_one_statement=begin_in_one_statement, now=moment
    )
    assert (again.was_answered_before, len(seen)) == (True, 1)


def test_a_write_of_one_statement_needs_a_time_and_falls_back_when_a_row_exists(
    request_: KeyedRequest,
) -> None:
    claim = claim_key(request_, begin=begin_nothing, begin_in_one_statement=_duplicate)
    assert claim.started == "begun", "without a time the single statement is not tried"
    other = replace(request_, key=f"{request_.key}-2")
    claim = claim_key(
        other, begin=begin_nothing, begin_in_one_statement=_duplicate, now=dt.datetime.now(dt.UTC)
    )
    assert claim.started == "begun"
    assert not Merchant.objects.exists()


def _duplicate(claim: Claim[str], _moment: dt.datetime) -> str:
    with transaction.atomic():
        for _ in range(2):
            Merchant.objects.create(email="twice@example.com", name="Twice")
    return "never"


def test_another_error_of_the_one_statement_is_raised(request_: KeyedRequest) -> None:
    def fail(claim: Claim[str], _moment: dt.datetime) -> str:
        with transaction.atomic():
            IdempotencyKey.objects.create(
                resource_id=uuid.uuid4(), field_fingerprints={}, state="completed", lease_expires_at=Now()
            )
        return "never"

    with pytest.raises(IntegrityError, match="idempotency_completed_has_answer"):
        claim_key(request_, begin=begin_nothing, begin_in_one_statement=fail, now=dt.datetime.now(dt.UTC))


# --- The same key again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["redis", "postgres"])
def test_a_repetition_gets_the_same_bytes(request_: KeyedRequest, source: str) -> None:
    done(request_)
    if source == "postgres":
        forget(request_)
    before = counts()
    claim = claim_key(request_, begin=begin_nothing)
    expected = replace(DONE, headers={"Idempotent-Replayed": "true"})
    assert (claim.answer, claim.was_answered_before, claim.started) == (expected, True, None)
    assert finish_claim(claim, work=complete) == expected
    assert counted(before) == {"requests": 1, source: 1}
    assert cache.load_answer(request_) == StoredAnswer(200, DONE.body, request_.fields)


def test_after_a_look_into_redis_only_postgresql_is_read(request_: KeyedRequest) -> None:
    done(request_)
    before = counts()
    claim = claim_key(request_, begin=begin_nothing, reads_cache=False)
    assert claim.was_answered_before
    assert counted(before) == {"requests": 1, "postgres": 1}


@pytest.mark.parametrize("source", ["redis", "postgres"])
def test_a_lenient_field_may_differ_and_is_named(request_: KeyedRequest, source: str) -> None:
    done(request_)
    if source == "postgres":
        forget(request_)
    before = counts()
    claim = claim_key(replace(request_, fields={"amount": "a1", "note": "n2"}), begin=begin_nothing)
    assert claim.answer is not None
    assert claim.answer.headers == {"Idempotent-Replayed": "true", "Idempotency-Payload-Mismatch": "note"}
    assert counted(before) == {"requests": 1, source: 1, "payload_mismatch": 1}


@pytest.mark.parametrize("source", ["redis", "postgres", "in flight"])
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"amount": "a2", "note": "n1"}, ["amount"]),
        ({"amount": "a2", "note": "n2"}, ["amount", "note"]),
        ({"note": "n1"}, ["amount"]),
        ({"amount": "a1", "note": "n1", "added": "x"}, ["added"]),
        ({"zeta": "z", "alpha": "a"}, ["alpha", "amount", "note", "zeta"]),
    ],
)
def test_another_request_under_the_key_is_refused(
    request_: KeyedRequest, source: str, fields: dict[str, str], named: list[str]
) -> None:
    if source == "in flight":
        claim_key(request_, begin=begin_nothing)
    else:
        done(request_)
    if source == "postgres":
        forget(request_)
    before = counts()
    with pytest.raises(IdempotencyKeyReused) as refused:
        claim_key(replace(request_, fields=fields), begin=begin_nothing)
    assert refused.value.details == {"idempotency_key": request_.key, "fields": named}
    assert counted(before) == {"requests": 1, "key_reused": 1}


def test_a_key_in_flight_is_refused_until_its_lease_is_over(request_: KeyedRequest) -> None:
    first = claim_key(request_, begin=begin_nothing)
    before = counts()
    with pytest.raises(RequestInFlight) as refused:
        claim_key(request_, begin=begin_nothing)
    assert refused.value.details == {"idempotency_key": request_.key}
    assert refused.value.headers == {"Retry-After": "1"}
    assert counted(before) == {"requests": 1, "in_flight": 1}
    first.release()
    again = claim_key(replace(request_, fields={**request_.fields, "note": "n2"}), begin=begin_nothing)
    assert (again.resource_id, again.started, again.answer) == (first.resource_id, None, None)
    assert list(again.differing_fields) == ["note"]
    assert IdempotencyKey.objects.get().fence == 2
    with pytest.raises(RequestInFlight):
        claim_key(request_, begin=begin_nothing)


def test_a_resumed_key_has_a_new_lease(request_: KeyedRequest, settings: object) -> None:
    claim_key(request_, begin=begin_nothing).release()
    settings.IDEMPOTENCY_LEASE_SECONDS = 600.0  # type: ignore[attr-defined]
    claim_key(request_, begin=begin_nothing)
    assert 500 < seconds_of_lease() <= 600


def test_a_request_that_lost_its_lease_can_neither_complete_nor_release(request_: KeyedRequest) -> None:
    first = claim_key(request_, begin=begin_nothing)
    first.release()
    second = claim_key(request_, begin=begin_nothing)
    with transaction.atomic():
        first.complete(DONE)
    assert (first.is_superseded, first.answer) == (True, None)
    assert IdempotencyKey.objects.get().state == "in_flight"
    first.release()
    with pytest.raises(RequestInFlight):
        claim_key(request_, begin=begin_nothing)
    with transaction.atomic():
        second.complete(replace(DONE, status=201))
    assert second.answer is not None
    second.release()
    assert IdempotencyKey.objects.get().response_status == 201


def test_the_superseded_request_answers_what_the_later_one_stored(request_: KeyedRequest) -> None:
    first = claim_key(request_, begin=begin_nothing)

    def work(claim: Claim[str]) -> Answer:
        if claim is first:
            first.release()
            finish_claim(claim_key(request_, begin=begin_nothing), work=complete)
        with transaction.atomic():
            claim.complete(Answer(200, b"another"))
        return Answer(200, b"another")

    answer = finish_claim(first, work=work)
    assert (answer.body, answer.headers) == (DONE.body, {"Idempotent-Replayed": "true"})


def test_a_key_that_is_pruned_meanwhile_gets_a_503(request_: KeyedRequest) -> None:
    with pytest.raises(ServiceUnavailable) as refused:
        claim_used_key(request_)
    assert refused.value.headers == {"Retry-After": "1"}


def test_the_scope_of_a_key(request_: KeyedRequest) -> None:
    done(request_)
    for change in (
        {"tenant": "acme:live"},
        {"method": "PATCH"},
        {"route": "/orders"},
        {"key": f"{request_.key}x"},
    ):
        claim = claim_key(replace(request_, **change), begin=begin_nothing)
        assert claim.started == "begun", change
    assert IdempotencyKey.objects.count() == 5


def test_a_claim_is_found_only_for_a_known_key(request_: KeyedRequest) -> None:
    before = counts()
    assert find_claim(request_) is None
    assert counted(before) == {}
    done(request_)
    before = counts()
    found = find_claim(request_)
    assert found is not None
    assert found.was_answered_before
    assert counted(before) == {"requests": 1, "postgres": 1}


# --- Answers that are final, and those that are not ---------------------------------------------------------------


def test_a_final_refusal_is_stored_and_its_work_is_not(request_: KeyedRequest) -> None:
    def begin(_claim: Claim[str]) -> str:
        Merchant.objects.create(email="half@example.com", name="Half")
        raise OrderMismatch({"why": "no"})

    claim = claim_key(request_, begin=begin)
    assert claim.answer is not None
    assert (claim.answer.status, json.loads(claim.answer.body)["details"]) == (422, {"why": "no"})
    assert (claim.was_answered_before, dict(claim.answer.headers)) == (True, {})
    assert not Merchant.objects.exists()
    row = IdempotencyKey.objects.get()
    assert (row.state, row.response_status, bytes(row.response_body or b"")) == (
        "completed",
        422,
        claim.answer.body,
    )
    assert row.completed_at is not None
    assert cache.load_answer(request_) == StoredAnswer(422, claim.answer.body, request_.fields)
    again = claim_key(request_, begin=begin)
    assert again.answer == replace(claim.answer, headers={"Idempotent-Replayed": "true"})


def test_a_refusal_that_is_not_final_is_raised_and_leaves_no_key(request_: KeyedRequest) -> None:
    def begin(_claim: Claim[str]) -> str:
        raise NotFound

    with pytest.raises(NotFound):
        claim_key(request_, begin=begin)
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("is_completed", [True, False])
def test_a_refusal_beside_another_request_with_the_key(request_: KeyedRequest, is_completed: bool) -> None:
    """Another request with the key committed between the rollback of our transaction and the storing of the refusal."""
    refusal = Answer(422, b"refused")
    if is_completed:
        done(request_)
        before = counts()
        found = store_refusal(request_, refusal)
        assert (found.status, found.headers) == (200, {"Idempotent-Replayed": "true"})
        assert counted(before) == {"postgres": 1}
    else:
        claim_key(request_, begin=begin_nothing)
        with pytest.raises(RequestInFlight) as refused:
            store_refusal(request_, refusal)
        assert refused.value.details == {"idempotency_key": request_.key}
        assert refused.value.headers == {"Retry-After": "1"}


def test_an_answer_that_is_not_final_leaves_the_key_free(request_: KeyedRequest) -> None:
    claim = claim_key(request_, begin=begin_nothing)
    pending = Answer(202, b"pending", {"Location": "/x"})
    assert finish_claim(claim, work=lambda _claim: pending) == pending
    assert IdempotencyKey.objects.get().state == "in_flight"
    assert cache.load_answer(request_) is None
    again = claim_key(request_, begin=begin_nothing)
    assert (again.resource_id, again.answer) == (claim.resource_id, None)


@pytest.mark.parametrize(("error", "is_free"), [(NotFound, True), (RuntimeError, False)])
def test_an_error_of_the_work_is_raised(
    request_: KeyedRequest, error: type[Exception], is_free: bool
) -> None:
    """An error of the API releases the key at once. After any other error the outcome is unknown, so the lease must
    expire first."""

    def work(_claim: Claim[str]) -> Answer:
        raise error

    with pytest.raises(error):
        finish_claim(claim_key(request_, begin=begin_nothing), work=work)
    if is_free:
        assert claim_key(request_, begin=begin_nothing).answer is None
    else:
        with pytest.raises(RequestInFlight):
            claim_key(request_, begin=begin_nothing)


def test_a_final_answer_is_copied_to_redis_and_names_differing_fields(request_: KeyedRequest) -> None:
    claim_key(request_, begin=begin_nothing).release()
    before = counts()
    other = replace(request_, fields={**request_.fields, "note": "n2"})

    def work(claim: Claim[str]) -> Answer:
        with transaction.atomic():
            claim.complete(replace(DONE, headers={"Location": "/x"}))
        return replace(DONE, headers={"Location": "/x"})

    answer = finish_claim(claim_key(other, begin=begin_nothing), work=work)
    assert answer.headers == {"Location": "/x", "Idempotency-Payload-Mismatch": "note"}
    assert counted(before) == {"requests": 1, "payload_mismatch": 1}
    stored = cache.load_answer(request_)
    assert stored is not None
    assert stored.fields == request_.fields, "the stored fields are those of the request that began the write"


def test_work_is_not_done_when_the_claiming_transaction_has_answered(request_: KeyedRequest) -> None:
    def begin(claim: Claim[str]) -> str:
        claim.complete(DONE)
        return "begun"

    def never(_claim: Claim[str]) -> Answer:
        raise AssertionError("there is an answer already")

    claim = claim_key(request_, begin=begin)
    assert finish_claim(claim, work=never) == DONE
    assert cache.load_answer(request_) is not None


def test_a_write_of_one_commit(request_: KeyedRequest) -> None:
    seen: list[uuid.UUID] = []

    def write(resource_id: uuid.UUID) -> Answer:
        seen.append(resource_id)
        return DONE

    assert write_in_one_commit(request_, write=write) == DONE
    assert write_in_one_commit(request_, write=write).headers == {"Idempotent-Replayed": "true"}
    row = IdempotencyKey.objects.get()
    assert (seen, row.state) == ([row.resource_id], "completed")
    claim_key(replace(request_, key=f"{request_.key}-2"), begin=begin_nothing).release()
    with pytest.raises(AssertionError, match="never found in flight"):
        write_in_one_commit(replace(request_, key=f"{request_.key}-2"), write=write)


# --- A look before validation -------------------------------------------------------------------------------------


def stored_bytes(request: KeyedRequest) -> bytes | None:
    found: bytes | None = get_redis_connection("default").get(cache.get_redis_name(request))
    return found


def test_a_replay_is_found_without_reading_postgresql(
    request_: KeyedRequest, django_assert_num_queries: Callable[..., object]
) -> None:
    done(request_)
    before, raw = counts(), stored_bytes(request_)
    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        assert find_replay(request_, raw) == replace(DONE, headers={"Idempotent-Replayed": "true"})
        lenient = find_replay(replace(request_, fields={**request_.fields, "note": "n2"}), raw)
    assert lenient is not None
    assert lenient.headers["Idempotency-Payload-Mismatch"] == "note"
    assert counted(before) == {"requests": 2, "redis": 2, "payload_mismatch": 1}
    before = counts()
    assert find_replay(replace(request_, fields={**request_.fields, "amount": "a2"}), raw) is None
    assert find_replay(request_, None) is None
    assert find_replay(request_, b"junk") is None
    assert counted(before) == {}


def test_the_name_of_a_stored_answer(request_: KeyedRequest) -> None:
    def name(**headers: str) -> str | None:
        request = RequestFactory().post("/api/v1/payments", **headers)  # type: ignore[arg-type]
        return name_stored_answer(request, tenant="acme:test", route="/payments")

    assert name(HTTP_IDEMPOTENCY_KEY=str(request_.key)) == cache.get_redis_name(request_)
    assert name() is None
    assert name(HTTP_IDEMPOTENCY_KEY="") is None
    assert name(HTTP_IDEMPOTENCY_KEY="a\tb") is None


# --- Requests and entries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "usable"),
    [
        ("", False),
        ("k", True),
        ("k" * 255, True),
        ("k" * 256, False),
        ("a b", True),
        ("é", False),
        ("a\n", False),
    ],
)
def test_usable_keys(key: str, usable: bool) -> None:
    assert is_usable_key(key) is usable


def read(body: object, **options: object) -> KeyedRequest:
    headers = options.pop("headers", {})
    request = RequestFactory().post("/x", **headers)  # type: ignore[arg-type]
    return read_keyed_request(request, tenant="t", route="/x", body=body, **options)  # type: ignore[arg-type]


def test_a_request_is_read_with_its_fields() -> None:
    found = read(
        {"b": 1, "a": {"y": 1, "x": [True, None]}, "no": "of the body"},
        target={"no": "of the path"},
        headers={"HTTP_IDEMPOTENCY_KEY": "k"},
        lenient_fields=frozenset({"b"}),
    )
    assert (found.tenant, found.method, found.route, found.key) == ("t", "POST", "/x", "k")
    assert (list(found.fields), found.lenient_fields) == (["a", "b", "no"], frozenset({"b"}))
    assert found.fields["no"] == read({"no": "of the path"}).fields["no"], (
        "the value in the path wins over the body"
    )
    assert found.fields["a"] == read({"a": {"x": [True, None], "y": 1}}).fields["a"], (
        "the order of field names does not matter"
    )
    assert found.fields["b"] != read({"b": "1"}).fields["b"]
    assert all(len(each) == 16 for each in found.fields.values())
    plain = read({})
    assert (plain.key, plain.fields, plain.lenient_fields) == (None, {}, frozenset())
    assert read([1, 2]).fields == {}
    assert list(read("text", target={"no": 1}).fields) == ["no"]


def test_fingerprints_never_change() -> None:
    """They are stored for days: another way to compute them would refuse repetitions after a release."""
    found = read({"amount": 10_000, "note": "é", "more": {"b": 1, "a": [1.5, None]}, "id": uuid.UUID(int=1)})
    assert found.fields == FINGERPRINTS


FINGERPRINTS = {
    "amount": "39e5b4830d4d9c14",
    "id": "5d49ba04563105cd",
    "more": "cf0c4895ed707baa",
    "note": "abc3932c9ec58f04",
}


@pytest.mark.parametrize("key", ["", "k" * 256, "a\x7f"])
def test_an_unusable_key_is_named(key: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        read({}, headers={"HTTP_IDEMPOTENCY_KEY": key})
    assert list(refused.value.details) == ["Idempotency-Key"]
    (texts,) = refused.value.details.values()
    assert all(texts)


def test_the_scope_hash_separates_its_parts() -> None:
    base = KeyedRequest("t", "POST", "/r", "k", {})
    others = [
        replace(base, tenant="u"),
        replace(base, method="PUT"),
        replace(base, route="/s"),
        replace(base, key="l"),
        replace(base, key=None),
        replace(base, route="/rk", key=""),
    ]
    hashes = {each.scope_hash for each in (base, *others)}
    assert len(hashes) == 7
    assert {len(each) for each in hashes} == {32}
    assert replace(base, key=None).scope_hash == replace(base, key="").scope_hash
    assert base.scope_hash == SCOPE_HASH, "stored answers would not be found after a release"


SCOPE_HASH = "0cc0a90fd137dc00696918888e562053"


def test_an_entry_of_redis_and_its_note(request_: KeyedRequest) -> None:
    cache.store_answer(request_, StoredAnswer(201, b"\x00\xff", {"a": "b"}))
    redis = get_redis_connection("default")
    name, note = f"{cache.PREFIX}:{request_.key}:{request_.scope_hash}", f"{cache.PREFIX}:{request_.key}"
    assert cache.get_redis_name(request_) == name
    assert json.loads(redis.get(note)) == {"state": "completed", "status": 201, "entry": name}
    for each in (name, note):
        assert 24 * 3600 - 60 < redis.ttl(each) <= 24 * 3600
    assert cache.load_answer(request_) == StoredAnswer(201, b"\x00\xff", {"a": "b"})
    assert cache.load_answer(replace(request_, key=f"{request_.key}x")) is None
    raw = redis.get(name)
    assert cache.read_answer(request_, raw) is not None
    assert cache.read_answer(replace(request_, tenant="acme:live"), raw) is None
    entry = json.loads(raw)
    assert set(entry) == {"answer", "mac"}
    assert set(json.loads(entry["answer"])) == {"status", "body", "fields"}
    for change in ({"mac": ""}, {"mac": entry["mac"][::-1]}, {"answer": entry["answer"] + " "}):
        assert cache.read_answer(request_, json.dumps({**entry, **change}).encode()) is None
    for broken in (b"", b"[]", b"null", b"{}", b'{"answer": "{}"}'):
        assert cache.read_answer(request_, broken) is None

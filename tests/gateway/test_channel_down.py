"""A channel that is down or slow: payments, waiting sagas and the poller."""

import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.db.models import F
from django.http import HttpResponse
from django.test import Client
from prometheus_client import REGISTRY

from channels import registry
from channels.base import (
    ChannelAccount,
    NotFoundAtChannel,
    NotProcessed,
    UnknownOutcome,
    WebhookEvent,
    WebhookRequest,
)
from channels.breaker import BreakerPhase
from channels.call_places import CallPlaces
from channels.guard import get_guard
from common.ids import uuid7
from gateway.models import Payment
from sagas import engine
from sagas.models import SagaInstance, SagaStep
from tests.support import background
from tests.support.channels import CAPABILITIES, add_channel
from tests.support.outage import Killswitch, advance_time, phase, run_until_idle
from tests.support.polling import poll_due
from tests.support.shop import create, data, get_payment, opened, paid, refund, sync
from tests.support.signing import SignedClient
from tests.support.threads import in_background
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
UNREACHABLE = NotProcessed("connection refused")


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Killswitch:
    return Killswitch(monkeypatch)


def goes_down(
    client: SignedClient, channel: Killswitch, answer: NotProcessed | UnknownOutcome | None = None
) -> list[Any]:
    """Three payments fail to reach the channel, which opens the breaker."""
    channel.cut(answer)
    noticed = [data(create(client), 202) for _payment in range(3)]
    assert phase() is BreakerPhase.OPEN
    channel.calls.clear()
    return noticed


def value(name: str, **labels: str) -> float:
    labels_of_simulator = {"channel": "simulator", "environment": "test", "account": "platform"}
    return REGISTRY.get_sample_value(name, labels_of_simulator | labels) or 0.0


# --- The breaker ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [UNREACHABLE, UnknownOutcome("connection reset")])
def test_payments_are_accepted_and_wait_while_the_channel_is_down(
    client: SignedClient, channel: Killswitch, answer: NotProcessed | UnknownOutcome
) -> None:
    goes_down(client, channel, answer)
    before = value("channel_refusals_total", why="breaker_open")
    payment = data(create(client, "auto_pay"), 202)
    assert (payment["status"], payment["payment_url"]) == ("pending", None)
    assert channel.calls == []
    assert value("channel_refusals_total", why="breaker_open") == before + 1
    assert value("channel_breaker_state") == 3
    step = SagaStep.objects.get(saga__business_id=payment["payment_no"], step_name="CallPaymentChannel")
    assert (step.status, step.retry_count, step.in_doubt) == ("failed", 0, False)

    channel.mend()
    run_until_idle()
    assert get_payment(client, payment)["status"] == "succeeded"
    advance_time(10)
    data(create(client))
    assert phase() is BreakerPhase.CLOSED


def test_payments_are_accepted_while_channel_and_redis_are_down(
    client: SignedClient, channel: Killswitch, redis_down: None
) -> None:
    goes_down(client, channel)
    payment = data(create(client, "auto_pay"), 202)
    assert channel.calls == []
    channel.mend()
    run_until_idle()
    assert get_payment(client, payment)["status"] == "succeeded"


def test_declines_do_not_open_the_breaker(client: SignedClient) -> None:
    for _payment in range(6):
        assert create(client, "decline").status_code == 402
    assert phase() is BreakerPhase.CLOSED
    opened(client)


def test_scripted_faults_of_the_sandbox_do_not_open_the_breaker(client: SignedClient) -> None:
    for fault in ("timeout_before", "timeout_after", "error_5xx", "reset", "unreachable"):
        data(create(client, fault), 202)
    assert phase() is BreakerPhase.CLOSED


def test_a_failed_probe_spends_no_attempt(client: SignedClient, channel: Killswitch) -> None:
    first, *_others = goes_down(client, channel)
    step = SagaStep.objects.get(saga__business_id=first["payment_no"], step_name="CallPaymentChannel")
    assert step.retry_count == 1
    for _pause in range(6):
        advance_time(30)
        SagaStep.objects.filter(id=step.id).update(next_retry_at=F("created_at"))
        engine.resume_saga(step.saga_id)
        assert phase() is BreakerPhase.OPEN
    assert len(channel.calls) == 6
    step.refresh_from_db()
    assert (step.retry_count, step.in_doubt) == (1, True)
    assert SagaInstance.objects.get(id=step.saga_id).direction == "forward"


def test_a_payment_fails_without_a_call_when_its_deadline_passes_during_the_outage(
    client: SignedClient, channel: Killswitch
) -> None:
    goes_down(client, channel)
    payment = data(create(client), 202)
    advance_time(16 * 60)
    SagaInstance.objects.exclude(business_id=payment["payment_no"]).update(needs_attention=True)
    channel.calls.clear()
    background.finish()
    assert channel.calls == []
    assert get_payment(client, payment)["status"] == "failed"


def test_a_sync_reports_that_the_channel_is_down(client: SignedClient, channel: Killswitch) -> None:
    payment = opened(client)
    goes_down(client, channel)
    assert sync(client, payment).status_code == 503
    assert channel.calls == []


def test_the_poller_sends_no_query_while_the_breaker_is_open_and_catches_up_afterwards(
    client: SignedClient, channel: Killswitch
) -> None:
    payment = opened(client)
    goes_down(client, channel)
    row = Payment.objects.filter(payment_no=payment["payment_no"])
    checks = row.get().check_count
    for _round in range(10):
        background.make_checks_due()
        poll_due()
    assert channel.calls == []
    assert row.get().check_count == checks


def test_a_query_of_the_poller_is_a_probe_like_any_call(client: SignedClient, channel: Killswitch) -> None:
    opened(client)
    goes_down(client, channel)
    channel.mend()
    advance_time(60)
    background.make_checks_due()
    poll_due()
    assert channel.calls == ["find_payment"]
    assert phase() is BreakerPhase.RECOVERING


def test_a_refund_in_doubt_stays_in_doubt_while_the_channel_is_down(
    client: SignedClient, channel: Killswitch
) -> None:
    payment = paid(client)
    channel.cut(lose_answers=True)
    given = data(refund(client, payment, 1_000), 202)
    for _payment in range(2):
        data(create(client), 202)
    assert phase() is BreakerPhase.OPEN
    engine.resume_saga(SagaInstance.objects.get(business_id=given["refund_no"]).id)
    step = SagaStep.objects.get(saga__business_id=given["refund_no"], step_name="CallChannelRefund")
    assert step.in_doubt
    channel.mend()
    run_until_idle()
    assert get_payment(client, payment)["refunded_amount"] == 1_000


# --- The limit to calls in flight -----------------------------------------------------------------------


@dataclass
class Stuck:
    """A channel that answers only when it is released."""

    name: str
    inside: threading.Semaphore
    released: threading.Event
    capabilities = CAPABILITIES
    is_sandbox = False

    def get_unavailable_reason(self, environment: str) -> None:
        return None

    def get_platform_credentials(self, environment: str) -> dict[str, str]:
        return {}

    def __getattr__(self, _operation: str) -> Any:
        def wait(_request: Any) -> UnknownOutcome:
            self.inside.release()
            assert self.released.wait(PATIENCE_SECONDS)
            return UnknownOutcome("timeout")

        return wait


def test_a_slow_channel_takes_no_more_than_its_share_of_the_places(
    client: SignedClient, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a channel that hangs, one merchant gets three of the eight places."""
    settings.CHANNEL_CALLS_PER_PROCESS = 8
    stuck = Stuck("stripe", threading.Semaphore(0), threading.Event())
    monkeypatch.setitem(registry._instances, "channels.stripe.channel.StripeChannel", stuck)
    waiting = [in_background(lambda: create(client, channel="stripe")) for _thread in range(3)]
    for _thread in waiting:
        assert stuck.inside.acquire(timeout=PATIENCE_SECONDS)

    refused = data(create(client, channel="stripe"), 202)
    assert opened(client, channel="simulator")["payment_url"]
    assert not any(answer.done() for answer in waiting), "no slow call has ended yet"
    step = SagaStep.objects.get(saga__business_id=refused["payment_no"], step_name="CallPaymentChannel")
    assert (step.retry_count, step.in_doubt) == (0, False)
    assert "in flight" in step.error_message

    stuck.released.set()
    assert [answer.result().status_code for answer in waiting] == [202, 202, 202]


def test_hanging_accounts_leave_places_to_every_other_one(settings) -> None:  # type: ignore[no-untyped-def]
    """Each account that hangs gets fewer places than the one before, and a newcomer always finds one."""
    settings.CHANNEL_CALLS_PER_PROCESS = 16
    inside, released = threading.Semaphore(0), threading.Event()

    def hang() -> UnknownOutcome:
        inside.release()
        assert released.wait(PATIENCE_SECONDS)
        return UnknownOutcome("timeout")

    waiting = []
    shares = (8, 4, 2)
    for share in shares:
        guard = get_guard("somebank", ChannelAccount("test", uuid7()))
        for _thread in range(share):
            waiting.append(in_background(lambda guard=guard: guard.call("find_payment", hang)))
            assert inside.acquire(timeout=PATIENCE_SECONDS)
        assert isinstance(guard.call("find_payment", hang), NotProcessed), (
            "the account holds its share already"
        )
    answered = NotFoundAtChannel()
    for guard in (
        get_guard("somebank", ChannelAccount("test", uuid7())),
        get_guard("somebank", ChannelAccount("test")),
        get_guard("otherbank", ChannelAccount("test")),
    ):
        assert guard.call("find_payment", lambda: answered) is answered
    released.set()
    assert all(isinstance(each.result(), UnknownOutcome) for each in waiting)


def test_a_slow_merchant_leaves_places_to_others_of_the_same_account() -> None:
    places = CallPlaces(9)
    before = REGISTRY.get_sample_value("channel_calls_in_flight") or 0
    with ExitStack() as held:
        taken = [held.enter_context(places.take("account", "slow")) for _call in range(4)]
        assert taken == [True, True, True, False]
        assert held.enter_context(places.take("account", "other"))
        assert REGISTRY.get_sample_value("channel_calls_in_flight") == before + 4
    assert REGISTRY.get_sample_value("channel_calls_in_flight") == before
    with ExitStack() as held:
        assert all(held.enter_context(places.take("account", "slow")) for _call in range(3)), (
            "all were released"
        )


def test_webhooks_that_call_have_places_apart_from_the_calls_of_their_account(settings, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Webhooks whose calls hang use neither the places of other accounts nor the places of their own account's other
    calls. Webhooks that are parsed without a call are not limited."""
    settings.CHANNEL_CALLS_PER_PROCESS = 8
    slow, quick = add_channel(monkeypatch, "slow"), add_channel(monkeypatch, "quick")
    slow.capabilities = replace(CAPABILITIES, has_calls_in_webhooks=True)
    inside, released = threading.Semaphore(0), threading.Event()

    def hang(_account: ChannelAccount, _request: WebhookRequest) -> WebhookEvent:
        inside.release()
        assert released.wait(PATIENCE_SECONDS)
        return WebhookEvent(uuid7().hex, "nothing", ())

    slow.parse_webhook = hang  # type: ignore[attr-defined]
    quick.parse_webhook = lambda *_: WebhookEvent(uuid7().hex, "nothing", ())  # type: ignore[attr-defined]
    waiting = [in_background(lambda: send_webhook("slow")) for _webhook in range(4)]
    for _webhook in waiting:
        assert inside.acquire(timeout=PATIENCE_SECONDS)
    refused = send_webhook("slow")
    assert (refused.status_code, refused["Retry-After"]) == (503, "60")
    assert send_webhook("quick").status_code == 200
    answered = NotFoundAtChannel()
    for account in (ChannelAccount("test"), ChannelAccount("test", uuid7())):
        assert get_guard("slow", account).call("find_payment", lambda: answered) is answered
    released.set()
    assert [each.result().status_code for each in waiting] == [200] * 4
    assert send_webhook("slow").status_code == 200, "the places were released"


def send_webhook(channel: str) -> HttpResponse:
    return Client().post(f"/api/v1/webhooks/{channel}", b"{}", content_type="application/json")


def test_a_place_is_released_after_every_kind_of_call(
    client: SignedClient, settings, channel: Killswitch
) -> None:
    settings.CHANNEL_CALLS_PER_PROCESS = 1

    def break_down(_operation: str, _request: Any) -> None:
        raise RuntimeError("a defect in the channel's module")

    channel.line.before = break_down
    for _payment in range(2):
        assert create(client).status_code == 500
    channel.line.mend()
    opened(client)

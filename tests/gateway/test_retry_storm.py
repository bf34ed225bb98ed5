"""A channel is down for twenty minutes while hundreds of sagas wait for it: no saga fails because of that, and their
retries do not overload the channel when it is up again. The test advances the time second by second, for the sagas and
the breaker."""

import pytest

from channels import breaker
from channels.breaker import BreakerPhase
from sagas.models import SagaInstance, SagaStatus, SagaStep
from tests.support.outage import Killswitch, StoppedTime, phase
from tests.support.shop import create, data, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

REFUNDS, PAYMENTS = 120, 80
OUTAGE_SECONDS, STRIDE_SECONDS = 20 * 60, 10
# Their deadline is 15 minutes: these start when this much of the outage is left.
PAYMENTS_BEGIN = OUTAGE_SECONDS - 10 * 60


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Killswitch:
    return Killswitch(monkeypatch)


@pytest.fixture
def clock() -> StoppedTime:
    return StoppedTime()


def test_a_channel_outage_of_twenty_minutes(
    client: SignedClient, channel: Killswitch, clock: StoppedTime
) -> None:
    payments = [paid(client, amount=REFUNDS) for _payment in range(3)]
    channel.cut()
    channel.calls.clear()
    refunds = [data(refund(client, payments[n % 3], 1), 202)["refund_no"] for n in range(REFUNDS)]
    waiting = _live_through(client, clock)
    calls_in_outage = len(channel.calls)

    # The budget: the calls before the breaker opened, and a probe or three at the end of each pause.
    pauses = OUTAGE_SECONDS / breaker.LONGEST_PAUSE_SECONDS + 4
    assert calls_in_outage <= 3 + pauses * breaker.PROBES
    assert set(SagaInstance.objects.filter(status="in_progress").values_list("direction", flat=True)) == {
        "forward"
    }
    assert not SagaInstance.objects.filter(needs_attention=True).exists()
    steps = SagaStep.objects.filter(saga__status="in_progress")
    assert sum(steps.values_list("retry_count", flat=True)) <= 3, (
        "only the calls that opened the breaker count"
    )

    channel.mend()
    per_second = _recover(channel, clock)
    print(f"calls during the outage: {calls_in_outage}; calls a second after it: {per_second}")
    done = SagaInstance.objects.filter(business_id__in=[*refunds, *waiting])
    assert set(done.values_list("status", flat=True)) == {SagaStatus.COMPLETED}
    assert done.count() == REFUNDS + PAYMENTS
    assert phase() is BreakerPhase.CLOSED
    _require_no_herd(per_second)


def _live_through(client: SignedClient, clock: StoppedTime) -> list[str]:
    waiting: list[str] = []
    for second in range(0, OUTAGE_SECONDS, STRIDE_SECONDS):
        if second == PAYMENTS_BEGIN:
            waiting = [data(create(client, "auto_pay"), 202)["payment_no"] for _payment in range(PAYMENTS)]
        clock.run_for(STRIDE_SECONDS)
        assert phase() in (BreakerPhase.OPEN, BreakerPhase.HALF_OPEN)
    return waiting


def _recover(channel: Killswitch, clock: StoppedTime) -> list[int]:
    """Returns how many calls reached the channel in each second until every saga had ended."""
    per_second = []
    for _second in range(180):
        before = len(channel.calls)
        left = clock.run_for(1)
        per_second.append(len(channel.calls) - before)
        if not left:
            return per_second
    raise AssertionError(f"{left} sagas still wait three minutes after the outage")


def _require_no_herd(per_second: list[int]) -> None:
    """First the ramp of the breaker limits the calls of each second, and then the jitter of the waiting sagas."""
    first = next(second for second, calls in enumerate(per_second) if calls)
    for second, calls in enumerate(per_second[first : first + breaker.RAMP_SECONDS]):
        assert calls <= breaker.PROBES * 2**second + breaker.PROBES, (second, per_second)
    # Seven a second on average.
    assert max(per_second) <= (REFUNDS + PAYMENTS) / 4, per_second

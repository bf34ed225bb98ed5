"""The bank's list has each payment and refund of a time window once, over several pages."""

import datetime as dt

import pytest

from channels.base import ChannelAccount, ListingWindow, PaymentState, RefundState
from channels.simulator import listing
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import SimulatedPayment, SimulatedRefund
from tests.simulator.conftest import Shop

pytestmark = pytest.mark.django_db(databases=["default", "simulator"])

MORNING = dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)


def _window(environment: str = "test", hours: float = 24) -> ListingWindow:
    return ListingWindow(
        ChannelAccount(environment), MORNING, MORNING + dt.timedelta(hours=hours), timeout_seconds=10.0
    )


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)


def test_every_payment_of_the_window_is_listed_once_over_all_pages(
    shop: Shop, channel: SimulatorChannel
) -> None:
    references = [shop.pay().reference for _ in range(5)]
    # All at the same time: a page must continue between equal times.
    SimulatedPayment.objects.filter(pk__in=references).update(created_at=MORNING)
    listed = list(channel.list_payments(_window()))
    assert sorted(entry.value.reference for entry in listed) == sorted(references)
    assert {entry.created_at for entry in listed} == {MORNING}
    assert {(entry.value.state, entry.value.captured_minor) for entry in listed} == {
        (PaymentState.PAID, 10_000)
    }


def test_the_window_includes_its_beginning_and_not_its_end(shop: Shop, channel: SimulatorChannel) -> None:
    first, last = shop.create(), shop.create()
    SimulatedPayment.objects.filter(pk=first.reference).update(created_at=MORNING)
    SimulatedPayment.objects.filter(pk=last.reference).update(created_at=MORNING + dt.timedelta(hours=1))
    assert [entry.value.reference for entry in channel.list_payments(_window(hours=1))] == [first.reference]


def test_a_tombstone_is_not_listed(shop: Shop, channel: SimulatorChannel) -> None:
    channel.cancel_payment(shop.cancellation("PAY-never"))
    SimulatedPayment.objects.update(created_at=MORNING)
    assert list(channel.list_payments(_window())) == []


def test_nothing_of_another_environment_is_listed(shop: Shop, channel: SimulatorChannel) -> None:
    channel.refund_payment(shop.refund(shop.pay().reference, 1))
    SimulatedPayment.objects.update(created_at=MORNING)
    SimulatedRefund.objects.update(created_at=MORNING)
    assert list(channel.list_payments(_window("live"))) == []
    assert list(channel.list_refunds(_window("live"))) == []


def test_every_refund_of_the_window_is_listed(shop: Shop, channel: SimulatorChannel) -> None:
    payment = shop.pay()
    for amount in (1, 2, 3):
        channel.refund_payment(shop.refund(payment.reference, amount))
    SimulatedRefund.objects.update(created_at=MORNING)
    listed = list(channel.list_refunds(_window()))
    assert sorted(entry.value.amount_minor for entry in listed) == [1, 2, 3]
    assert {entry.value.state for entry in listed} == {RefundState.SUCCEEDED}

"""PayPal's transaction search: ranges of 31 days, pages, the lag, and failures."""

import datetime as dt

import pytest

from channels.base import ChannelAccount, ListingFailed, ListingWindow, PaymentState
from channels.paypal import listing
from channels.paypal.channel import PayPalChannel
from channels.registry import get_platform_account
from tests.channels.paypal_harness import LIST_SECONDS
from tests.channels.test_paypal_payments import approve, complete
from tests.support.paypal.fake import FakePayPal, Fault

channel = PayPalChannel()
DAY = dt.timedelta(days=1)
SEARCH = "GET /v1/reporting/transactions"


@pytest.fixture
def account(paypal: FakePayPal) -> ChannelAccount:
    return get_platform_account("paypal", "test")


def build_window(account: ChannelAccount, days_before: float, days_after: float) -> ListingWindow:
    now = dt.datetime.now(dt.UTC)
    return ListingWindow(account, now - days_before * DAY, now + days_after * DAY, 10.0)


def pay(paypal: FakePayPal, account: ChannelAccount) -> str:
    request, payment = approve(paypal, account)
    complete(request, payment)
    return request.reference


def test_a_window_of_many_days_lists_each_payment_once(
    paypal: FakePayPal, account: ChannelAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    paid = {pay(paypal, account) for _ in range(3)}
    paypal.advance_clock(LIST_SECONDS)
    # The payments are at the end of one range of 31 days, and at the beginning of the next.
    for days_before in (31, 62, 40):
        listed = [
            each.value.reference for each in channel.list_payments(build_window(account, days_before, 1))
        ]
        assert [each for each in listed if each in paid].count(min(paid)) == 1
        assert set(listed) >= paid
    assert paypal.requests_seen.count(SEARCH) > 6


def test_a_payment_is_listed_three_hours_later(paypal: FakePayPal, account: ChannelAccount) -> None:
    reference = pay(paypal, account)
    window = build_window(account, 1, 1)
    assert reference not in {each.value.reference for each in channel.list_payments(window)}
    paypal.advance_clock(LIST_SECONDS)
    [listed] = [each.value for each in channel.list_payments(window) if each.value.reference == reference]
    assert (listed.state, listed.captured_minor, listed.amount_minor) == (PaymentState.PAID, 10_000, None)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.LOSE_ANSWER, Fault.GARBAGE, Fault.EXPIRED_TOKEN])
def test_a_list_that_is_not_read_to_its_end_says_nothing(
    paypal: FakePayPal, account: ChannelAccount, fault: Fault
) -> None:
    paypal.plan_fault(fault, SEARCH).plan_fault(fault, SEARCH)
    with pytest.raises(ListingFailed):
        list(channel.list_payments(build_window(account, 1, 1)))

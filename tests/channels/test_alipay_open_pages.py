"""Alipay's signed page cannot be closed before the customer has opened it: cancellation and expiry wait for its end."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from channels.alipay import trades
from gateway.models import Payment
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.test_journeys import create_payment, deliver, pay
from tests.support import background
from tests.support.alipay.bank import AlipayBank
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import expire_due, poll_due
from tests.support.sagas import run_due
from tests.support.shop import Body, cancel, create, data, get_payment, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture(params=["alipay_page", "alipay_qr"])
def harness(
    request: pytest.FixtureRequest, alipay: AlipayBank, monkeypatch: pytest.MonkeyPatch
) -> AlipayHarness:
    return AlipayHarness(alipay, monkeypatch, request.param)


def end_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page has ended, also by the clock of Alipay."""
    monkeypatch.setattr(trades, "CLOCK_MARGIN", dt.timedelta(days=-1))


def read_wait_seconds(payment: Body) -> float:
    """Returns how long the cancellation waits, and checks that it has spent no attempt."""
    saga = background.saga_of(payment["payment_no"], "payment.cancel")
    step = saga.steps.get(step_name="CancelAtChannel")
    assert (step.retry_count, saga.needs_attention) == (0, False)
    assert step.next_retry_at is not None
    assert saga.deadline_at > step.next_retry_at
    return (step.next_retry_at - timezone.now()).total_seconds()


def test_a_query_and_a_poll_leave_it_pending(client: SignedClient, harness: AlipayHarness) -> None:
    payment = create_payment(client, harness)
    assert data(sync(client, payment))["status"] == "pending"
    background.make_checks_due()
    assert poll_due() == 1
    assert get_payment(client, payment)["status"] == "pending"
    assert Payment.objects.get().next_check_at > timezone.now()


def test_a_cancellation_waits_for_the_end_of_the_page(
    client: SignedClient, harness: AlipayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = create_payment(client, harness)
    assert data(cancel(client, payment), 202)["status"] == "pending"
    left = (Payment.objects.get().expires_at - timezone.now()).total_seconds()
    assert left <= read_wait_seconds(payment) <= left + 65
    run_due()
    assert get_payment(client, payment)["status"] == "pending"
    end_pages(monkeypatch)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"


def test_a_payment_meanwhile_wins(client: SignedClient, harness: AlipayHarness) -> None:
    payment = create_payment(client, harness)
    data(cancel(client, payment), 202)
    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    assert get_payment(client, payment)["status"] == "succeeded"
    run_due()
    assert background.saga_of(payment["payment_no"], "payment.cancel").status == "completed"
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == ("succeeded", 10_000, 0)


def test_a_page_that_is_open_by_then_is_closed(client: SignedClient, harness: AlipayHarness) -> None:
    payment = create_payment(client, harness)
    data(cancel(client, payment), 202)
    if harness.method == "alipay_page":
        form = payment["next_action"]
        harness.bank.http.post(form["url"], data=form["fields"], timeout=60)
    harness.bank.open(payment["payment_no"])
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    trade = harness.bank.find_trade(payment["payment_no"])
    assert trade is not None
    assert not trade["paid_at"]


def test_expiry_closes_only_after_the_page_and_late_money_is_refunded(
    client: SignedClient, harness: AlipayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = create_payment(client, harness)
    background.expire_payment(payment["payment_no"])
    assert expire_due() == 1
    run_due()
    assert 0 < read_wait_seconds(payment) <= 61
    assert expire_due() == 0
    assert get_payment(client, payment)["status"] == "pending"
    end_pages(monkeypatch)
    background.finish()
    assert get_payment(client, payment)["status"] == "expired"

    pay(harness, payment)
    deliver(harness, harness.take_webhooks())
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["refunded_amount"]) == ("expired", 10_000, 10_000)
    assert harness.read_amounts(payment["payment_no"]) == (10_000, 10_000)


def test_a_cancel_before_the_code_is_known(
    client: SignedClient, alipay: AlipayBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer never got the code, so the creation is compensated at once."""
    harness = AlipayHarness(alipay, monkeypatch, "alipay_qr")
    fields: dict[str, Any] = harness.build_api_fields(loses="answer")
    payment = data(create(client, currency="CNY", **fields), 202)
    data(cancel(client, payment), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"

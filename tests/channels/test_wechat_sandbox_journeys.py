"""WeChat Pay through the API and against its sandbox: its own rules, faults of its server, and one whole journey."""

import datetime as dt
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from channels.base import (
    CancelPayment,
    Declined,
    NotProcessed,
    PaymentState,
    RefundRef,
    RefundState,
    Reported,
    UnknownOutcome,
)
from channels.wechat.fields import BEIJING
from gateway.models import ChannelEvent, PaymentReview
from gateway.services.reconciliation import unreported_refunds
from gateway.services.reconciliation.differences import (
    ComparedCounts,
    ReconciliationScope,
    find_differences,
)
from tests.channels.harness import build_ref, build_refund, create_open, create_paid
from tests.channels.test_journeys import deliver, send_webhook
from tests.channels.wechat_harness import WechatHarness
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import poll_due
from tests.support.shop import cancel, create, data, get_payment, get_refund, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

YEAR = 365 * 86_400


@pytest.fixture
def native(wechat: Callable[[str], WechatHarness]) -> WechatHarness:
    return wechat("wechat_native")


def test_from_the_code_to_the_statement(client: SignedClient, native: WechatHarness) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    payment = data(create(client, channel="wechat", currency="CNY", amount=10_000))
    assert (payment["status"], payment["next_action"]["type"]) == ("pending", "qr_code")
    assert payment["next_action"]["content"].startswith("weixin://")
    assert not payment["channel_trade_no"]

    native.control("pay", out_trade_no=payment["payment_no"])
    deliver(native, native.take_webhooks())
    paid = get_payment(client, payment)
    assert (paid["status"], paid["captured_amount"]) == ("succeeded", 10_000)
    assert paid["channel_trade_no"].startswith("42000")
    event = ChannelEvent.objects.get(type="TRANSACTION.SUCCESS")
    assert event.payload["resource"]["transaction_id"] == paid["channel_trade_no"]
    assert "payer" not in event.payload["resource"]

    created_refund = data(refund(client, payment, 3_000))
    assert created_refund["status"] == "processing"
    native.settle_refunds()
    deliver(native, native.take_webhooks())
    assert get_refund(client, created_refund)["status"] == "succeeded"
    assert get_payment(client, payment)["refunded_amount"] == 3_000
    assert native.read_amounts(payment["payment_no"]) == (10_000, 3_000)

    after = dt.datetime.now(dt.UTC)
    native.publish_lists()
    counts = ComparedCounts()
    scope = ReconciliationScope("wechat", "test", before, after + dt.timedelta(minutes=1))
    assert list(find_differences(scope=scope, counts=counts)) == []
    assert (counts.payments, counts.refunds) == (1, 1)


def test_a_customer_who_pays_after_closing_gets_the_money_back(
    client: SignedClient, native: WechatHarness
) -> None:
    """WeChat Pay confirmed the close of the order, and accepted the payment afterwards."""
    payment = data(create(client, channel="wechat", currency="CNY"))
    native.control("faults", mchid=None, kind="error", operation="close", status=204)
    assert data(cancel(client, payment))["status"] == "cancelled"
    native.pay_reference(payment["payment_no"])
    deliver(native, native.take_webhooks())
    background.finish()
    native.settle_refunds()
    deliver(native, native.take_webhooks())
    background.finish()
    now = get_payment(client, payment)
    assert native.read_amounts(payment["payment_no"]) == (10_000, 10_000)
    assert (now["captured_amount"], now["refunded_amount"]) == (10_000, 10_000)


@pytest.mark.parametrize(
    "kind", ["bad_signature", "no_signature", "probe_signature", "unknown_serial", "stale_timestamp"]
)
def test_an_unproved_answer_leaves_a_creation_in_doubt(
    client: SignedClient, native: WechatHarness, kind: str
) -> None:
    native.control("faults", mchid=None, kind=kind, operation="prepay")
    payment = create(client, channel="wechat", currency="CNY").json()["data"]
    background.finish()
    native.pay_reference(payment["payment_no"])
    deliver(native, native.take_webhooks())
    assert get_payment(client, payment)["status"] == "succeeded"
    assert native.read_amounts(payment["payment_no"]) == (10_000, 0)


@pytest.mark.parametrize(
    "kind", ["callback_forged", "callback_tampered", "callback_probed", "callback_stale"]
)
def test_a_webhook_that_is_not_genuine_changes_nothing(
    client: SignedClient, native: WechatHarness, kind: str
) -> None:
    payment = data(create(client, channel="wechat", currency="CNY"))
    native.control("faults", mchid=None, kind=kind)
    native.pay_reference(payment["payment_no"])
    refused, genuine = native.take_webhooks()
    assert send_webhook(native, refused).status_code == 400
    assert get_payment(client, payment)["status"] == "pending"
    deliver(native, [genuine])
    assert get_payment(client, payment)["status"] == "succeeded"


def test_while_switching_keys_every_webhook_is_accepted(client: SignedClient, native: WechatHarness) -> None:
    numbers, webhooks = [], []
    for percent in (0, 100):  # the first callback uses the certificate, the second the public key
        native.control("merchants", signing_mode="switching", callback_public_key_percent=percent)
        payment = data(create(client, channel="wechat", currency="CNY"))
        native.pay_reference(payment["payment_no"])
        numbers.append(payment)
        webhooks += native.take_webhooks()
    assert len({each.headers["Wechatpay-Serial"] for each in webhooks}) == 2
    deliver(native, webhooks)
    assert {get_payment(client, each)["status"] for each in numbers} == {"succeeded"}


def test_an_account_with_platform_certificates_alone(
    client: SignedClient, native: WechatHarness, settings: Any
) -> None:
    native.control("merchants", signing_mode="certificate")
    keys = settings.WECHAT_CREDENTIALS["test"] | {"public_key_id": "", "public_key": ""}
    settings.WECHAT_CREDENTIALS = {"test": keys, "live": {}}
    payment = data(create(client, channel="wechat", currency="CNY"))
    native.pay_reference(payment["payment_no"])
    deliver(native, native.take_webhooks())
    assert get_payment(client, payment)["status"] == "succeeded"


class TestRefundRules:
    def test_two_refunds_within_a_minute(self, native: WechatHarness) -> None:
        request = native.build_creation()
        payment = create_paid(native, request)
        assert isinstance(native.channel.refund_payment(build_refund(request, payment, 100)), Reported)
        second = build_refund(request, payment, 100)
        refused = native.channel.refund_payment(second)
        assert isinstance(refused, NotProcessed)
        assert (refused.retry_after_seconds, refused.is_channel_fault) == (60.0, False)
        native.pass_refund_pause()
        assert isinstance(native.channel.refund_payment(second), Reported)

    def test_the_fifty_first_refund(self, native: WechatHarness) -> None:
        request = native.build_creation()
        payment = create_paid(native, request)
        for _ in range(50):
            assert isinstance(native.channel.refund_payment(build_refund(request, payment, 1)), Reported)
            native.pass_refund_pause()
        refused = native.channel.refund_payment(build_refund(request, payment, 1))
        assert isinstance(refused, Declined)
        assert refused.code == "refund_refused"
        assert native.channel.capabilities.refunds.max_count == 50

    def test_a_refund_after_a_year(self, native: WechatHarness) -> None:
        request = native.build_creation()
        payment = create_paid(native, request)
        native.advance(YEAR + 60)
        assert isinstance(native.channel.refund_payment(build_refund(request, payment, 100)), Declined)
        assert native.channel.capabilities.refunds.window_days == 365

    def test_without_money_the_same_refund_works_later(self, native: WechatHarness) -> None:
        request = native.build_creation()
        payment = create_paid(native, request)
        native.control("money", amount=-5_000)
        wanted = build_refund(request, payment, 10_000)
        refused = native.channel.refund_payment(wanted)
        assert isinstance(refused, Declined)
        assert refused.code == "balance_insufficient"
        native.control("money", amount=5_000)
        assert isinstance(native.channel.refund_payment(wanted), Reported)

    def test_a_refund_made_in_the_merchant_platform_is_recorded_from_the_statement(
        self, client: SignedClient, native: WechatHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = data(create(client, channel="wechat", currency="CNY"))
        native.pay_reference(payment["payment_no"])
        deliver(native, native.take_webhooks())
        native.control("refunds", out_trade_no=payment["payment_no"], amount=2_500, reason="退货")
        native.settle_refunds()
        native.publish_lists()
        later = dt.datetime.now(dt.UTC) + unreported_refunds.STATEMENT_DELAY + dt.timedelta(minutes=1)
        monkeypatch.setattr(timezone, "now", lambda: later)
        assert unreported_refunds.record_unreported_refunds() == 1
        assert unreported_refunds.record_unreported_refunds() == 0
        assert get_payment(client, payment)["refunded_amount"] == 2_500
        assert native.read_amounts(payment["payment_no"]) == (10_000, 2_500)


class TestAbnormalRefund:
    """The customer's card is closed. The money has left the merchant, and WeChat Pay still holds it."""

    def make(self, client: SignedClient, native: WechatHarness) -> tuple[Any, Any]:
        payment = data(create(client, channel="wechat", currency="CNY"))
        native.pay_reference(payment["payment_no"])
        deliver(native, native.take_webhooks())
        native.control("faults", mchid=None, kind="refund_abnormal")
        created_refund = data(refund(client, payment, 10_000))
        native.settle_refunds()
        deliver(native, native.take_webhooks())
        return payment, created_refund

    def test_it_needs_review_and_its_amount_stays_reserved(
        self, client: SignedClient, native: WechatHarness
    ) -> None:
        payment, created_refund = self.make(client, native)
        assert get_refund(client, created_refund)["status"] == "processing"
        review = PaymentReview.objects.get(resolved_at=None)
        assert (review.subject, review.code) == (created_refund["refund_no"], "no_outcome")
        assert "merchant platform" in review.text
        assert refund(client, payment, 1).status_code == 422

    def test_money_on_another_card_ends_the_review(self, client: SignedClient, native: WechatHarness) -> None:
        _payment, created_refund = self.make(client, native)
        native.control("refunds/settle", out_refund_no=created_refund["refund_no"], status="SUCCESS")
        background.make_checks_due()
        poll_due()
        assert get_refund(client, created_refund)["status"] == "succeeded"
        assert not PaymentReview.objects.filter(resolved_at=None).exists()

    def test_a_closed_refund_may_be_made_again(self, client: SignedClient, native: WechatHarness) -> None:
        payment = data(create(client, channel="wechat", currency="CNY"))
        native.pay_reference(payment["payment_no"])
        deliver(native, native.take_webhooks())
        native.control("faults", mchid=None, kind="refund_closed")
        created_refund = data(refund(client, payment, 10_000))
        native.settle_refunds()
        deliver(native, native.take_webhooks())
        assert get_refund(client, created_refund)["status"] == "failed"
        native.pass_refund_pause()
        assert data(refund(client, payment, 10_000))["status"] == "processing"


class TestStatementCommand:
    @pytest.mark.parametrize(("kind", "number"), [("trades", "商户订单号"), ("basic", "微信支付业务单号")])
    def test_a_statement_is_written_as_it_is(self, native: WechatHarness, kind: str, number: str) -> None:
        request = native.build_creation()
        payment = create_paid(native, request)
        today = dt.datetime.now(BEIJING).date().isoformat()
        native.publish_lists()
        written = io.StringIO()
        call_command("wechat_statement", today, environment="test", kind=kind, stdout=written)
        names, row, *_summary = written.getvalue().splitlines()
        assert number in names
        assert f"`{payment.channel_trade_no}" in row

    @pytest.mark.parametrize(
        ("day", "environment", "code", "text"),
        [
            ("2026-11-01", "test", 2, "Nothing happened"),
            ("yesterday", "test", 1, "not a day"),
            ("2026-11-01", "live", 1, "WECHAT_LIVE_MCH_ID"),
        ],
    )
    def test_without_a_statement(
        self, native: WechatHarness, day: str, environment: str, code: int, text: str
    ) -> None:
        with pytest.raises(CommandError, match=text) as refusal:
            call_command("wechat_statement", day, environment=environment)
        assert refusal.value.returncode == code


class TestRepeatedCreation:
    def test_of_a_paid_order_reports_the_payment(self, native: WechatHarness) -> None:
        request = native.build_creation()
        create_paid(native, request)
        again = native.channel.create_payment(request)
        assert isinstance(again, Reported)
        assert (again.value.state, again.value.captured_minor) == (PaymentState.PAID, 10_000)

    def test_of_a_closed_order_reports_it_as_cancelled(self, native: WechatHarness) -> None:
        request = native.build_creation()
        create_open(native, request)
        native.channel.cancel_payment(CancelPayment("k", build_ref(request)))
        again = native.channel.create_payment(request)
        assert isinstance(again, Reported)
        assert again.value.state == PaymentState.CANCELLED

    def test_with_another_amount_takes_no_money_twice(self, native: WechatHarness) -> None:
        request = native.build_creation()
        create_open(native, request)
        native.channel.create_payment(replace(request, amount_minor=20_000))
        found = native.channel.find_payment(build_ref(request))
        assert isinstance(found, Reported)
        assert found.value.state == PaymentState.CANCELLED


@pytest.mark.parametrize("operation", ["close", "query"])
@pytest.mark.parametrize("kind", ["lost_request", "lost_answer", "reset", "bad_signature", "bad_gateway"])
def test_a_cancel_without_an_answer_is_repeated(native: WechatHarness, operation: str, kind: str) -> None:
    request = native.build_creation()
    create_open(native, request)
    native.control("faults", mchid=None, kind=kind, operation=operation)
    wanted = CancelPayment("k", build_ref(request))
    assert isinstance(native.channel.cancel_payment(wanted), UnknownOutcome)
    result = native.channel.cancel_payment(wanted)
    assert isinstance(result, Reported)
    assert result.value.state == PaymentState.CANCELLED


def test_a_refund_is_pending_until_it_is_settled(native: WechatHarness) -> None:
    """An accepted refund has not succeeded yet."""
    request = native.build_creation()
    payment = create_paid(native, request)
    wanted = build_refund(request, payment, 100)
    accepted = native.channel.refund_payment(wanted)
    assert isinstance(accepted, Reported)
    assert accepted.value.state == RefundState.PENDING
    native.settle_refunds()
    settled = native.channel.find_refund(RefundRef(wanted.reference, wanted.payment))
    assert isinstance(settled, Reported)
    assert settled.value.state == RefundState.SUCCEEDED

"""PayPal's webhooks: the signature and its certificate, what events bring, and the address of an account."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from channels.base import (
    ChannelAccount,
    ChannelDispute,
    ChannelPayment,
    ChannelRefund,
    DisputeState,
    PaymentState,
    RefundState,
    WebhookRefused,
    WebhookRequest,
)
from channels.paypal import certificates
from channels.paypal.channel import PayPalChannel
from channels.paypal.config import is_certificate_url
from channels.registry import get_platform_account
from gateway.models import ChannelEvent, Dispute, Payment
from gateway.services.channel_event_payload import MAX_BODY_BYTES, build_stored_payload
from tests.channels.test_paypal_payments import approve, complete, create
from tests.support import background, shop
from tests.support.auditing import _audited  # noqa: F401
from tests.support.fixtures import new_merchant, test_client_of
from tests.support.paypal.fake import WEBHOOK_ID, FakePayPal, Fault
from tests.support.paypal.signing import CERTIFICATE_PATH, build_certificate, build_event, build_webhook
from tests.support.shop import Body, data, get_payment
from tests.support.signing import SignedClient

channel = PayPalChannel()
UNKNOWN = build_event("VAULT.PAYMENT-TOKEN.CREATED", "payment_token", {"id": "1"})


@pytest.fixture
def account(paypal: FakePayPal) -> ChannelAccount:
    return get_platform_account("paypal", "test")


def parse(account: ChannelAccount, webhook: WebhookRequest) -> Any:
    return channel.parse_webhook(account, webhook).updates


class TestSignature:
    def refuse(self, account: ChannelAccount, webhook: WebhookRequest) -> None:
        with pytest.raises(WebhookRefused):
            channel.parse_webhook(account, webhook)

    def test_an_event_that_is_not_about_payments_is_acknowledged(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        assert parse(account, build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID)) == ()

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("Paypal-Transmission-Id", "another"),
            ("Paypal-Transmission-Time", "2026-11-28T00:00:00Z"),
            ("Paypal-Transmission-Sig", ""),
            ("Paypal-Transmission-Sig", "not base64!"),
            ("Paypal-Transmission-Sig", "\ud800"),
            ("Paypal-Auth-Algo", "SHA1withRSA"),
            ("Paypal-Cert-Url", ""),
            ("Paypal-Cert-Url", "https://evil.example/v1/notifications/certs/CERT-1"),
        ],
    )
    def test_every_header_is_signed_or_checked(
        self, paypal: FakePayPal, account: ChannelAccount, header: str, value: str
    ) -> None:
        webhook = build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID)
        self.refuse(account, WebhookRequest(webhook.body, {**webhook.headers, header: value}))

    def test_a_webhook_of_another_app_is_refused(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        """PayPal signs the webhooks of all apps with the same key: only the webhook id differs."""
        self.refuse(account, build_webhook(UNKNOWN, paypal.url, "0ANOTHERAPPSWEBHOOK"))

    def test_both_webhook_ids_verify_during_a_rotation(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        rotated = replace(
            account,
            credentials={**account.credentials, "webhook_id": "0NEW"},
            previous_credentials=account.credentials,
        )
        for webhook_id in (WEBHOOK_ID, "0NEW"):
            assert parse(rotated, build_webhook(UNKNOWN, paypal.url, webhook_id)) == ()
        without = replace(account, credentials={**account.credentials, "webhook_id": ""})
        assert not channel.can_receive_webhooks(without)
        self.refuse(without, build_webhook(UNKNOWN, paypal.url, ""))

    def test_a_certificate_is_fetched_once(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        for _ in range(3):
            parse(account, build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID))
        assert paypal.requests_seen == [f"GET {CERTIFICATE_PATH}"]

    @pytest.mark.parametrize(
        "content", [b"", b"<html>", build_certificate(is_expired=True)], ids=["empty", "html", "expired"]
    )
    def test_an_invalid_certificate_is_refused(
        self, paypal: FakePayPal, account: ChannelAccount, content: bytes
    ) -> None:
        paypal.certificates[CERTIFICATE_PATH] = content
        self.refuse(account, build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID))

    def test_a_certificate_that_cannot_be_fetched_is_fetched_again(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        webhook = build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID)
        for fault in (Fault.LOSE_ANSWER, Fault.UNAVAILABLE):
            paypal.plan_fault(fault, f"GET {CERTIFICATE_PATH}")
            self.refuse(account, webhook)
        assert parse(account, webhook) == ()

    def test_forged_webhooks_make_few_downloads(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        for number in range(30):
            path = f"/v1/notifications/certs/CERT-{number}"
            self.refuse(account, build_webhook(UNKNOWN, paypal.url, "0FORGED", path=path))
        assert len(paypal.requests_seen) == certificates.MAX_DOWNLOADS

    def test_kept_certificates_are_bounded(
        self, paypal: FakePayPal, account: ChannelAccount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificates, "MAX_KEPT", 2)
        for number in range(4):
            path = f"/v1/notifications/certs/CERT-{number}"
            paypal.certificates[path] = build_certificate()
            parse(account, build_webhook(UNKNOWN, paypal.url, WEBHOOK_ID, path=path))
        assert len(certificates._kept) == 2

    @pytest.mark.parametrize(
        ("url", "environment", "is_paypals"),
        [
            ("https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77", "live", True),
            ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-a5cafa77", "test", True),
            ("https://api-m.paypal.com/v1/notifications/certs/CERT-1", "live", True),
            # The sandbox's key must never sign for real money.
            ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1", "live", False),
            ("http://api.paypal.com/v1/notifications/certs/CERT-1", "live", False),
            ("https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1", "live", False),
            ("https://evil.example/v1/notifications/certs/CERT-1", "live", False),
            ("https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1", "live", False),
            ("https://user@api.paypal.com/v1/notifications/certs/CERT-1", "live", False),
            ("https://api.paypal.com:444/v1/notifications/certs/CERT-1", "live", False),
            ("https://www.paypal.com/v1/notifications/certs/CERT-1", "live", False),
            ("https://api.paypal.com/v1/notifications/certs/../../invoices/1", "live", False),
            ("https://api.paypal.com/v1/notifications/certs/CERT-1?x=1", "live", False),
            ("https://api.paypal.com/v1/notifications/certs/CERT-1#x", "live", False),
            ("https://api.paypal.com/v1/notifications/certs/CERT-1\n", "live", False),
            ("https://API.PAYPAL.COM/v1/notifications/certs/CERT-1", "live", False),
            ("https://[/v1/notifications/certs/CERT-1", "live", False),
            ("", "live", False),
        ],
    )
    def test_certificates_come_from_paypal_alone(
        self, settings: Any, url: str, environment: str, is_paypals: bool
    ) -> None:
        settings.PAYPAL_API_BASE = ""
        assert is_certificate_url(url, environment) is is_paypals


class TestEvents:
    def test_each_event_reports_the_order_as_it_is(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account, manual_capture=True)
        webhooks = paypal.take_webhooks()
        [approved] = parse(account, webhooks[0])
        assert (approved.reference, approved.state) == (request.reference, PaymentState.APPROVED)
        complete(request, payment)
        webhooks += paypal.take_webhooks()
        states = {update.state for webhook in webhooks for update in parse(account, webhook)}
        assert states == {PaymentState.AUTHORIZED}, "an approval that arrives late reports no approval"

    def test_nothing_about_the_payer_is_stored(self) -> None:
        order: Body = {
            "id": "5O190127TN364715T",
            "payer": {"email_address": "ana@example.com"},
            "payment_source": {"paypal": {"email_address": "ana@example.com"}},
            "purchase_units": [{"custom_id": "PAY-1", "shipping": {"name": {"full_name": "Ana"}}}],
        }
        body = build_event("CHECKOUT.ORDER.APPROVED", "checkout-order", order)
        stored = str(build_stored_payload(body, max_bytes=MAX_BODY_BYTES))
        assert "PAY-1" in stored
        assert "ana" not in stored.lower()

    def test_a_lapsed_order_brings_no_update(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        approve(paypal, account)
        [webhook] = paypal.take_webhooks()
        paypal.advance_clock(7 * 3600)
        assert parse(account, webhook) == ()

    def test_a_webhook_is_refused_while_its_order_cannot_be_queried(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        approve(paypal, account)
        [webhook] = paypal.take_webhooks()
        for fault in (Fault.UNAVAILABLE, Fault.LOSE_ANSWER, Fault.RATE_LIMITED, Fault.GARBAGE):
            paypal.plan_fault(fault, "GET /v2/checkout/orders/.*")
            with pytest.raises(WebhookRefused):
                channel.parse_webhook(account, webhook)
        assert parse(account, webhook)

    @pytest.mark.parametrize(
        "resource",
        [
            {},
            {"id": ""},
            {"id": "../../v1/x"},
            {"id": 5},
            {"id": None},
            [],
            "x",
            {"supplementary_data": []},
            {"links": [{"rel": "up"}]},
            {"links": "x"},
        ],
    )
    @pytest.mark.parametrize(
        "event_type",
        [
            "CHECKOUT.ORDER.APPROVED",
            "PAYMENT.CAPTURE.COMPLETED",
            "PAYMENT.CAPTURE.REFUNDED",
            "CUSTOMER.DISPUTE.CREATED",
        ],
    )
    def test_a_malformed_event_is_no_server_error(
        self, paypal: FakePayPal, account: ChannelAccount, event_type: str, resource: Any
    ) -> None:
        webhook = build_webhook(build_event(event_type, "x", resource), paypal.url, WEBHOOK_ID)
        with contextlib.suppress(WebhookRefused):
            assert parse(account, webhook) == ()
        assert not [each for each in paypal.requests_seen if "orders" in each]

    def test_refunds_of_ours_and_of_the_dashboard(self, paypal: FakePayPal, account: ChannelAccount) -> None:
        request, payment = approve(paypal, account)
        complete(request, payment)
        [capture] = [c for c in paypal.account.captures.values() if c["custom_id"] == request.reference]
        paypal.take_webhooks()
        ours = {"invoice_id": "REF-1", "custom_id": request.reference}
        paypal.account.refund(capture["id"], {**ours, "amount": {"currency_code": "USD", "value": "10.00"}})
        paypal.refund_in_dashboard(capture["id"], "5.00")
        first, second = (parse(account, each)[0] for each in paypal.take_webhooks())
        assert isinstance(first, ChannelRefund)
        assert (first.reference, first.payment_reference, first.state) == (
            "REF-1",
            request.reference,
            RefundState.SUCCEEDED,
        )
        assert (second.reference, second.payment_trade_no, second.amount_minor) == ("", capture["id"], 500)

    def test_a_refund_with_the_numbers_of_its_payment_is_not_ours(
        self, paypal: FakePayPal, account: ChannelAccount
    ) -> None:
        refund = {
            "id": "1JU08902781691411",
            "status": "COMPLETED",
            "amount": {"currency_code": "USD", "value": "5.00"},
            "invoice_id": "PAY-1",
            "custom_id": "PAY-1",
        }
        body = build_event("PAYMENT.CAPTURE.REFUNDED", "refund", refund)
        [update] = parse(account, build_webhook(body, paypal.url, WEBHOOK_ID))
        assert (update.reference, update.payment_reference) == ("", "PAY-1")

    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({"status": "WAITING_FOR_SELLER_RESPONSE"}, DisputeState.NEEDS_RESPONSE),
            ({"status": "UNDER_REVIEW"}, DisputeState.UNDER_REVIEW),
            (
                {"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"}},
                DisputeState.LOST,
            ),
            (
                {"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}},
                DisputeState.WON,
            ),
            (
                {"status": "RESOLVED", "dispute_outcome": {"outcome_code": "CANCELED_BY_BUYER"}},
                DisputeState.CLOSED,
            ),
            ({"status": "RESOLVED"}, DisputeState.CLOSED),
            ({"status": "A_NEW_ONE"}, DisputeState.UNDER_REVIEW),
        ],
    )
    def test_disputes(
        self, paypal: FakePayPal, account: ChannelAccount, changes: Any, state: DisputeState
    ) -> None:
        body = build_event(
            "CUSTOMER.DISPUTE.UPDATED", "dispute", build_dispute("3BC38643YC807283D", **changes)
        )
        [dispute] = parse(account, build_webhook(body, paypal.url, WEBHOOK_ID))
        assert isinstance(dispute, ChannelDispute)
        assert (dispute.channel_trade_no, dispute.amount_minor, dispute.state) == (
            "3BC38643YC807283D",
            10_000,
            state,
        )


def build_dispute(capture_id: str, **changes: Any) -> Body:
    """developer.paypal.com/docs/api/customer-disputes/v1, "Show dispute details"."""
    return {
        "dispute_id": "PP-D-27803",
        "create_time": "2026-11-28T08:00:00.000Z",
        "disputed_transactions": [
            {"seller_transaction_id": capture_id, "seller": {"merchant_id": "5DKMSLBCXPGRA"}}
        ],
        "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        "status": "WAITING_FOR_SELLER_RESPONSE",
        "dispute_amount": {"currency_code": "USD", "value": "100.00"},
        "dispute_life_cycle_stage": "CHARGEBACK",
        "seller_response_due_date": "2026-12-08T08:00:00.000Z",
        **changes,
    }


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
@pytest.mark.usefixtures("_no_connection_in_calls")
class TestAddressOfAnAccount:
    """Two merchants with accounts of their own: `/api/v1/webhooks/paypal/{token}`."""

    WEBHOOK_IDS = ("0WEBHOOKOFONE", "0WEBHOOKOFTWO")

    @pytest.fixture
    def shops(self, paypal: FakePayPal) -> list[tuple[SignedClient, Body]]:
        return [self.open(paypal, number) for number in (0, 1)]

    def open(self, paypal: FakePayPal, number: int) -> tuple[SignedClient, Body]:
        client = test_client_of(new_merchant())
        paypal.api.credentials[f"App{number}"] = "secret-of-the-app"
        body = {
            "channel": "paypal",
            "display_name": "Shop",
            "credentials": {"client_id": f"App{number}", "client_secret": "secret-of-the-app"},
        }
        added: Body = data(client.post("/api/v1/channel-accounts", body))
        # The webhook id is known when the address has been entered at PayPal.
        paypal.api.webhook_ids.add(self.WEBHOOK_IDS[number])
        credentials = {**body["credentials"], "webhook_id": self.WEBHOOK_IDS[number]}
        rotated = client.post(f"/api/v1/channel-accounts/{added['id']}/rotate", {"credentials": credentials})
        account: Body = data(rotated)
        assert "secret-of-the-app" not in rotated.content.decode()
        assert account["account_no"] == f"App{number}"
        return client, account

    def send(self, account: Body, webhook: WebhookRequest) -> HttpResponse:
        path = account["webhook_url"].partition("/api/")[2]
        return Client().post(
            f"/api/{path}", webhook.body, content_type="application/json", headers=dict(webhook.headers)
        )

    def test_webhooks_are_for_their_account_alone(
        self, paypal: FakePayPal, shops: list[tuple[SignedClient, Body]]
    ) -> None:
        (client, account), (_other, another) = shops
        payment = shop.opened(client, channel="paypal")
        paypal.account.approve(payment["channel_trade_no"])
        [event] = paypal.account.events
        body = build_event(*event)
        for webhook_id, target in (
            (self.WEBHOOK_IDS[0], another),
            (self.WEBHOOK_IDS[1], account),
            (WEBHOOK_ID, account),
        ):
            assert self.send(target, build_webhook(body, paypal.url, webhook_id)).status_code == 400
        # A valid webhook of the other account about this order changes nothing here.
        assert self.send(another, build_webhook(body, paypal.url, self.WEBHOOK_IDS[1])).status_code == 200
        background.finish()
        assert get_payment(client, payment)["status"] == "pending"

        mine = build_webhook(body, paypal.url, self.WEBHOOK_IDS[0])
        assert data(self.send(account, mine))["effect"] == "applied"
        assert data(self.send(account, mine))["effect"] == "nothing_new"
        background.finish()
        assert get_payment(client, payment)["status"] == "succeeded"
        assert paypal.get_amounts(payment["payment_no"]) == (100, 0)
        # The approval arrives once more, under another id, when the order is paid.
        late = build_webhook(build_event(*event), paypal.url, self.WEBHOOK_IDS[0])
        assert self.send(account, late).status_code == 200
        background.finish()
        assert paypal.get_amounts(payment["payment_no"]) == (100, 0)

    def test_a_dispute_finds_its_payment_by_the_capture(
        self, paypal: FakePayPal, shops: list[tuple[SignedClient, Body]]
    ) -> None:
        client, account = shops[0]
        payment = shop.opened(client, channel="paypal")
        paypal.account.approve(payment["channel_trade_no"])
        data(shop.sync(client, payment))
        background.finish()
        row = Payment.objects.get(payment_no=payment["payment_no"])
        [capture] = [c for c in paypal.account.captures.values() if c["custom_id"] == row.payment_no]
        body = build_event("CUSTOMER.DISPUTE.CREATED", "dispute", build_dispute(capture["id"]))
        answer = data(self.send(account, build_webhook(body, paypal.url, self.WEBHOOK_IDS[0])))
        assert answer["effect"] == "disputed"
        dispute = Dispute.objects.get(payment=row)
        assert (dispute.channel_dispute_no, dispute.amount_minor) == ("PP-D-27803", 10_000)

    def test_a_refund_of_the_dashboard_is_booked(
        self, paypal: FakePayPal, shops: list[tuple[SignedClient, Body]]
    ) -> None:
        client, account = shops[0]
        payment = shop.opened(client, channel="paypal")
        paypal.account.approve(payment["channel_trade_no"])
        data(shop.sync(client, payment))
        background.finish()
        [capture] = [c for c in paypal.account.captures.values() if c["custom_id"] == payment["payment_no"]]
        paypal.account.events.clear()
        paypal.refund_in_dashboard(capture["id"], "25.00")
        [webhook] = paypal.take_webhooks(self.WEBHOOK_IDS[0])
        for _ in range(2):
            assert self.send(account, webhook).status_code == 200
        assert get_payment(client, payment)["refunded_amount"] == 2_500
        assert ChannelEvent.objects.get(type="PAYMENT.CAPTURE.REFUNDED").payload["resource"]["id"]


def test_an_order_of_another_app_is_not_ours(paypal: FakePayPal, account: ChannelAccount) -> None:
    """A merchant's other shop uses the same account at PayPal, without our numbers or with several purchase units."""
    request, payment = create(account)
    order = paypal.account.orders[payment.channel_trade_no]
    for units in ([], [*order["purchase_units"], *order["purchase_units"]]):
        event = ("CHECKOUT.ORDER.APPROVED", "checkout-order", {"id": payment.channel_trade_no})
        order["purchase_units"], kept = units, order["purchase_units"]
        assert parse(account, build_webhook(build_event(*event), paypal.url, WEBHOOK_ID)) == ()
        order["purchase_units"] = kept
    [update] = parse(account, build_webhook(build_event(*event), paypal.url, WEBHOOK_ID))
    assert isinstance(update, ChannelPayment)
    assert update.reference == request.reference

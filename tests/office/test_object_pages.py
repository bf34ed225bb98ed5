"""The pages of refunds, orders, deliveries, disputes, approvals and merchants: they begin with the facts and end with
the raw fields."""

import datetime as dt
from collections.abc import Callable
from html import unescape

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from backoffice.approvals.models import Approval
from backoffice.renderers.entries import shown_entries
from backoffice.renderers.payer import describe_payer
from backoffice.renderers.saga_page import TimeAxis
from backoffice.timeline.registry import TimelineEntry
from gateway.models import Dispute, Payment, Refund
from orders.models import Order
from tests.office.test_second_person import make_saga_in_review, resolve
from tests.support import shop
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers
from webhooks.models import DeliveryStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint

NEEDS_ROWS = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
OPERATOR = ("view_*", "sagas.operate_sagainstance", "staff.approve_operation")
NOON = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)


@pytest.fixture
def payment(client: SignedClient) -> Payment:
    created = shop.paid(client, amount=123_456)
    shop.data(shop.refund(client, created, 3_456))
    leave_one_of_each()
    return Payment.objects.get(payment_no=created["payment_no"])


def read(browser: Client, row: Model) -> tuple[str, str]:
    """Returns the text of the page above and below its heading "Technical"."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    answer = browser.get(reverse(name, args=[row.pk]))
    assert answer.status_code == 200
    above, _heading, below = unescape(answer.content.decode()).partition("<summary>Technical</summary>")
    assert below, "the page must end with the raw fields"
    return above, below


@NEEDS_ROWS
def test_each_page_shows_what_it_is_about(sign_in: Callable[..., Client], payment: Payment) -> None:
    vera = sign_in("vera", "view_*")
    refund = Refund.objects.get()
    above, below = read(vera, refund)
    for shown in ("34.56 USD", "1,200.00 USD", payment.payment_no, "refund.create", payment.merchant.name):
        assert shown in above, shown
    assert "Status queries" not in above
    assert "Status queries" in below
    assert refund.refund_no in read(vera, Order.objects.get())[0]
    assert "Coffee" in read(vera, Order.objects.get())[0]
    assert "Channel accounts" in read(vera, payment.merchant)[0]
    with without_triggers():
        Dispute.objects.update(status="needs_response", evidence_due_by=NOON)
    assert "Evidence is due by: 2026-11-28 12:00:00" in " ".join(
        read(vera, Dispute.objects.get())[0].split()
    ).replace(' <samp class="office-name">', " ")


@NEEDS_ROWS
def test_a_delivery_shows_request_and_answer_and_is_sent_again(
    sign_in: Callable[..., Client], payment: Payment
) -> None:
    delivery = WebhookDelivery.objects.get(status="failed")
    WebhookAttempt.objects.update(
        outcome="rejected", status_code=503, response_headers={"server": "nginx"}, response_body="try later"
    )
    sue = sign_in("sue", "view_*", "staff.resend_webhook")
    above, _below = read(sue, delivery)
    for shown in ('"specversion": "1.0"', "server: nginx", "try later", "503", "resend-dialog"):
        assert shown in above, shown
    resend = reverse("admin:webhooks_webhookdelivery_resend", args=[delivery.pk])
    assert sign_in("vera", "view_*").post(resend, {"reason": "x"}).status_code == 403
    assert sue.post(resend, {"reason": "they are well again"}).status_code == 302
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == (DeliveryStatus.PENDING, 0)
    action = StaffAction.objects.get(action="webhook_delivery.resend")
    assert (action.actor, action.object_id, action.reason) == ("sue", str(delivery.pk), "they are well again")
    WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).update(
        status="disabled", disabled_reason="gone", disabled_at=NOON
    )
    assert sue.post(resend, {"reason": "again"}).status_code == 409
    assert "The status of this endpoint is: Disabled." in read(sue, delivery)[0]


@NEEDS_ROWS
@pytest.mark.parametrize(("form", "state"), [({"approve": "1"}, "approved"), ({"reason": "no"}, "rejected")])
def test_an_approval_is_decided_on_its_own_page(
    sign_in: Callable[..., Client], client: SignedClient, form: dict[str, str], state: str
) -> None:
    saga = make_saga_in_review(client, 2_000_000)
    ana, ben = sign_in("ana", *OPERATOR), sign_in("ben", *OPERATOR)
    resolve(ana, saga)
    approval = Approval.objects.get()
    above, _below = read(ben, approval)
    for shown in (
        "20,000.00 USD",
        "requested by ana",
        "settled by hand",
        "Needs review: amounts differ",
        "OPS-7",
    ):
        assert shown in above, shown
    decide = reverse("admin:approvals_approval_decide", args=[approval.pk])
    assert decide in above
    assert "You requested this yourself" in read(ana, approval)[0]
    assert ben.post(decide, {"approval": str(approval.pk), **form}).status_code == 302
    approval.refresh_from_db()
    saga.refresh_from_db()
    assert (approval.state, approval.decided_by) == (state, "ben")
    assert saga.needs_attention == (state == "rejected")
    above, _below = read(ben, approval)
    assert decide not in above
    assert "ben" in above


@NEEDS_ROWS
def test_an_open_payment_shows_link_code_and_expiry(
    sign_in: Callable[..., Client], client: SignedClient
) -> None:
    opened = Payment.objects.get(payment_no=shop.opened(client)["payment_no"])
    vera = sign_in("vera", "view_*")
    url = reverse("admin:gateway_payment_change", args=[opened.pk])
    html = unescape(vera.get(url).content.decode())
    for shown in (f'data-copy="{opened.payment_url}"', "QR code of the payment link", "<svg", "Expires at"):
        assert shown.lower() in html.lower(), shown
    shop.data(shop.cancel(client, {"payment_no": opened.payment_no}))
    assert opened.payment_url not in unescape(vera.get(url).content.decode())


@pytest.mark.parametrize(
    ("brand", "last_four", "wallet", "text"),
    [
        ("visa", "4242", "", "Visa •••• 4242"),
        ("unionpay", "9424", "", "UnionPay •••• 9424"),
        ("american_express", "", "apple_pay", "American Express · Apple Pay"),
        ("", "", "", ""),
    ],
)
def test_the_payer_is_described(brand: str, last_four: str, wallet: str, text: str) -> None:
    payment = Payment(
        payment_method="card",
        customer={"email": "a@b.example", "age": 3, "more": {"x": 1}},
        card_brand=brand,
        card_last_four=last_four,
        card_wallet=wallet,
    )
    payer = describe_payer(payment)
    assert (payer.card, payer.payment_method) == (text, "card")
    assert payer.customer == [("email", "a@b.example"), ("age", "3")]


def test_repeated_entries_are_folded_into_the_newest() -> None:
    entries = [
        TimelineEntry(NOON - dt.timedelta(minutes=minute), "x", "Saga", title, name="Call")
        for minute, title in enumerate(("Succeeded", "Unknown", "Unknown", "Unknown", "Succeeded"))
    ]
    shown = [(each.entry.title, each.count, each.first_at) for each in shown_entries(entries)]
    assert shown == [
        ("Succeeded", 1, NOON),
        ("Unknown", 3, NOON - dt.timedelta(minutes=3)),
        ("Succeeded", 1, NOON - dt.timedelta(minutes=4)),
    ]


def test_bars_stand_on_one_axis() -> None:
    axis = TimeAxis(NOON, NOON + dt.timedelta(seconds=100))
    assert axis.place(NOON, NOON + dt.timedelta(seconds=50)) == (0, 500)
    assert axis.place(NOON + dt.timedelta(seconds=50), NOON + dt.timedelta(seconds=50)) == (500, 6)
    assert axis.place(NOON + dt.timedelta(seconds=100), NOON + dt.timedelta(seconds=100)) == (994, 6)
    assert TimeAxis(NOON, NOON).place(NOON, NOON) == (0, 6)

"""The work queue: its items, the permissions to change them, and that a settled item disappears from it."""

import datetime as dt
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import StaffAction
from backoffice.approvals.models import Approval
from backoffice.work_queue import services
from backoffice.work_queue.models import ItemKind, WorkItem
from backoffice.work_queue.open_items import MAX_COUNTED, MAX_SHOWN, OpenItem, QueueFilter, list_open_items
from backoffice.work_queue.services import ItemReference
from common.errors import OperationRefused
from gateway import state_machine
from gateway.models import Dispute, Payment, ReviewCode
from payouts.models import BankAccount, Payout, PayoutRun
from sagas.models import SagaInstance
from settlements.models import SettlementCase
from tests.office.test_second_person import make_saga_in_review
from tests.support import shop
from tests.support.reviews import AMOUNTS_DIFFER
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers
from webhooks.models import WebhookEndpoint

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
URL = "/admin/queue/"


@pytest.fixture
def everything(client: SignedClient) -> Payment:
    """One open item of each kind."""
    payment = Payment.objects.get(payment_no=shop.paid(client, amount=123_456)["payment_no"])
    leave_one_of_each()
    with without_triggers():  # a dispute that was won does not open again
        Dispute.objects.update(
            status="needs_response", evidence_due_by=timezone.now() + dt.timedelta(hours=20)
        )
    WebhookEndpoint.objects.filter(kind="registered").update(
        status="disabled", disabled_reason="gone", disabled_at=timezone.now()
    )
    with transaction.atomic():
        state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, reason=AMOUNTS_DIFFER)
        state_machine.open_review(payment=payment, code=ReviewCode.REFUND_FAILED, reason=AMOUNTS_DIFFER)
    make_saga_in_review(client, 5_000)
    _leave_payouts()
    return payment


def _leave_payouts() -> None:
    """A run and a bank account that wait for a decision, and a payout that the bank has not answered."""
    payout = Payout.objects.get()
    run = {"environment": "test", "currency": "USD", "requested_by": "ana"}
    PayoutRun.objects.create(run_no="RUN-2", **run)
    BankAccount.objects.create(merchant_id=payout.merchant_id, kind="iban", hint="DE89…3001", **run)
    long_ago = timezone.now() - dt.timedelta(days=6)
    with without_triggers():
        Payout.objects.update(status="in_transit", sent_at=long_ago)


def items(**chosen) -> dict[ItemKind, OpenItem]:
    return {item.kind: item for item in list_open_items(QueueFilter(list(ItemKind), **chosen))}


def reference(item: OpenItem) -> ItemReference:
    return ItemReference(item.kind, item.object_id, item.assignee)


def key(item: OpenItem) -> str:
    return f"{item.kind.value}:{item.object_id}:{item.assignee}"


def test_one_item_of_each_kind_with_amount_reason_and_action(
    sign_in: Callable[..., Client], everything: Payment
) -> None:
    root = sign_in(
        "root", "view_*", "staff.sync_payment", "staff.approve_operation", "sagas.operate_sagainstance"
    )
    with CaptureQueriesContext(connection) as queries:
        answer = root.get(URL)
    assert len(queries) <= 18, [query["sql"] for query in queries]
    html = unescape(answer.content.decode())
    for shown in (
        "1,234.56 USD",
        "The channel's data differ from ours",
        str(AMOUNTS_DIFFER),
        "An automatic refund failed",
        "due in 19 h",
        "Answered 410 Gone",
        "Waiting for approval: Compensate",
        " data-row>",  # the keys j and k of lists.js move between these rows
        reverse("admin:gateway_payment_sync", args=[everything.pk]),
        reverse("admin:approvals_approval_change", args=[Approval.objects.get().pk]),
    ):
        assert shown in html, shown
    found = items()
    assert set(found) == set(ItemKind)
    assert next(iter(found)) is ItemKind.DISPUTE, "items that are due within two days come first"


def test_items_due_in_more_than_two_days_are_ordered_by_age(everything: Payment) -> None:
    later = dt.timedelta(days=10)
    Dispute.objects.update(evidence_due_by=timezone.now() + later, created_at=timezone.now() + later)
    found = [item.kind for item in list_open_items(QueueFilter(list(ItemKind)))]
    assert found[-1] is ItemKind.DISPUTE, "the newest item is last, although only it has a due time"


def test_the_most_urgent_item_is_first_however_many_are_older(everything: Payment, sign_in) -> None:
    """There are more older items than the page shows and more than it counts."""
    urgent = Dispute.objects.get()
    with without_triggers() as cursor:
        cursor.execute(
            "INSERT INTO disputes (id, dispute_no, payment_id, merchant_id, environment, channel, channel_dispute_no,"
            " amount_minor, currency, reason, channel_reason, status, stage, evidence_due_by, created_at)"
            " SELECT gen_random_uuid(), 'DSP-OLD-' || n, payment_id, merchant_id, environment, channel, 'old-' || n,"
            " amount_minor, currency, reason, channel_reason, status, stage, now() + interval '9 days',"
            " now() - interval '9 days'"
            " FROM disputes, generate_series(1, %s) AS n",
            [MAX_COUNTED + 1],
        )
    found = list_open_items(QueueFilter([ItemKind.DISPUTE]))
    assert len(found) == MAX_SHOWN
    assert found[0].object_id == urgent.pk
    html = sign_in("vera", "gateway.view_dispute").get(URL).content.decode()
    assert "The first 50 of 501+ items." in html, "the urgent one, and as many others as are counted"


def test_a_settled_item_leaves_the_queue(everything: Payment) -> None:
    with transaction.atomic():
        state_machine.resolve_reviews(payment=everything, resolution="compared", actor="ana")
    Dispute.objects.update(status="won")
    Approval.objects.update(state="rejected")
    SagaInstance.objects.update(needs_attention=False)
    WebhookEndpoint.objects.update(status="enabled", disabled_reason="", disabled_at=None)
    Payout.objects.update(status="paid")
    PayoutRun.objects.update(status="canceled")
    BankAccount.objects.filter(status="awaiting_approval").update(status="rejected")
    SettlementCase.objects.update(
        state="resolved",
        resolution="booked",
        resolved_by="ana",
        resolved_at=timezone.now(),
        reason="compared",
    )
    assert items() == {}


def test_assigned_snoozed_and_noted_each_in_one_row_and_in_the_audit_log(
    everything: Payment, sign_in
) -> None:
    sign_in("ben")
    item = items()[ItemKind.PAYMENT]
    assert services.assign_items(items=[reference(item)], assignee="ben", actor="ana", note="look") == []
    assert services.snooze_items(items=[reference(item)], length=dt.timedelta(hours=4), actor="ana") == 1
    assert services.add_note(items=[reference(item)], actor="ben", note="asked the bank") == 1
    row = WorkItem.objects.get()
    assert (row.assignee, row.note, row.noted_by) == ("ben", "asked the bank", "ben")
    recorded = StaffAction.objects.filter(action__startswith="work_item").order_by("id")
    assert [(each.action, each.object_id, each.actor, each.reason) for each in recorded] == [
        ("work_item.assign", everything.payment_no, "ana", "look"),
        ("work_item.snooze", everything.payment_no, "ana", ""),
        ("work_item.note", everything.payment_no, "ben", "asked the bank"),
    ]
    assert ItemKind.PAYMENT not in items()
    assert (
        items(is_snoozed=True).keys() == items(assignee="ben", is_snoozed=None).keys() == {ItemKind.PAYMENT}
    )
    assert services.snooze_items(items=[reference(item)], length=dt.timedelta(), actor="ana") == 1
    assert items()[ItemKind.PAYMENT].snoozed_until is None


def test_the_audit_log_names_each_object_by_its_own_type(everything: Payment) -> None:
    found = items()
    services.add_note(items=[reference(item) for item in found.values()], actor="ana", note="seen")
    recorded = StaffAction.objects.filter(action="work_item.note").values_list("object_type", "object_id")
    assert set(recorded) == {
        ("payment", everything.payment_no),
        ("payment", found[ItemKind.REFUND].number),  # a review of the payment without a refund of ours
        ("saga", str(found[ItemKind.SAGA].object_id)),
        ("approval", found[ItemKind.APPROVAL].number),
        ("dispute", found[ItemKind.DISPUTE].number),
        ("webhook_endpoint", str(found[ItemKind.ENDPOINT].object_id)),
        ("settlement_case", found[ItemKind.SETTLEMENT_CASE].number),
        ("payout_run", str(found[ItemKind.PAYOUT_RUN].object_id)),
        ("payout", found[ItemKind.PAYOUT].number),
        ("bank_account", str(found[ItemKind.BANK_ACCOUNT].object_id)),
    }


def test_a_review_of_a_refund_is_recorded_under_the_refund(client: SignedClient) -> None:
    paid = shop.paid(client)
    refund_no = shop.data(shop.refund(client, paid, 100))["refund_no"]
    with transaction.atomic():
        state_machine.open_review(
            payment=Payment.objects.get(),
            code=ReviewCode.REFUND_OUTCOME,
            reason=AMOUNTS_DIFFER,
            subject=refund_no,
        )
    services.add_note(items=[reference(items()[ItemKind.REFUND])], actor="ana", note="seen")
    recorded = StaffAction.objects.get()
    assert (recorded.object_type, recorded.object_id) == ("refund", refund_no)


def test_two_people_cannot_take_one_item(everything: Payment, sign_in) -> None:
    for name in ("ana", "ben"):
        sign_in(name)
    seen = reference(items()[ItemKind.SAGA])
    assert services.assign_items(items=[seen], assignee="ana", actor="ana") == []
    assert services.assign_items(items=[seen], assignee="ben", actor="ben") == [items()[ItemKind.SAGA].number]
    assert WorkItem.objects.get().assignee == "ana"
    assert StaffAction.objects.filter(action="work_item.assign").count() == 1


def test_a_snooze_does_not_hide_what_happens_later(everything: Payment) -> None:
    item = items()[ItemKind.SAGA]
    services.snooze_items(items=[reference(item)], length=dt.timedelta(days=7), actor="ana")
    assert ItemKind.SAGA not in items()
    WorkItem.objects.update(snoozed_at=item.since - dt.timedelta(seconds=1))
    assert ItemKind.SAGA in items()


@pytest.mark.parametrize("length", [dt.timedelta(days=31), dt.timedelta(seconds=-1)])
def test_a_snooze_has_an_end(length: dt.timedelta) -> None:
    with pytest.raises(OperationRefused):
        services.snooze_items(items=[], length=length, actor="ana")


def test_changing_items_needs_a_permission(sign_in, everything: Payment) -> None:
    item = items()[ItemKind.PAYMENT]
    vera = sign_in("vera", "gateway.view_payment")
    html = vera.get(URL).content.decode()
    assert everything.payment_no in html
    assert 'name="item"' not in html
    assert "Waiting for approval" not in html, "approvals need a permission of their own"
    assert vera.post(URL, {"change": "note", "note": "x", "item": key(item)}).status_code == 403
    assert sign_in("nobody").get(URL).status_code == 403
    assert not WorkItem.objects.exists()


def test_the_form_assigns_and_filters_and_refuses_invalid_values(sign_in, everything: Payment) -> None:
    sue = sign_in("sue", "view_*", "staff.handle_work_items")
    saga = items()[ItemKind.SAGA]
    assert sue.post(f"{URL}?kind=saga", {"take": key(saga)}).headers["Location"] == f"{URL}?kind=saga"
    mine = sue.get(URL, {"whose": "mine"}).content.decode()
    assert key(saga) + "sue" in mine
    assert everything.payment_no not in mine
    chosen = {"merchant": everything.merchant.email, "environment": "live", "kind": "nonsense", "whose": "x"}
    assert "All clear" in sue.get(URL, chosen).content.decode()
    for form in ({"item": "x"}, {"item": "saga:x:"}, {"item": key(saga), "change": "x"}, {"item": key(saga)}):
        assert sue.post(URL, form).status_code == 404, form
    for form in (
        {},
        {"item": key(saga), "change": "assign", "assignee": "stranger"},
        {"item": key(saga), "change": "note", "note": ""},
    ):
        assert sue.post(URL, form).status_code == 302, form
    assert sue.get(URL, {"merchant": "a\0b", "environment": "\0"}).status_code in (200, 400)
    assert WorkItem.objects.get().assignee == "sue"

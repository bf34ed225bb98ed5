"""The operator clears what has got stuck."""

import re

import pytest
from playwright.sync_api import expect

from audit.models import StaffAction
from gateway.models import Payment, Refund
from sagas import operations
from sagas.models import SagaInstance, SagaStatus
from staff.roles import Role
from tests.office.test_second_person import make_saga_in_review, resolve
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.background import finish, saga_of

LOOK = "zh-light"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def done() -> list[tuple[str, str, str]]:
    return list(StaffAction.objects.order_by("id").values_list("actor", "action", "reason"))


def test_what_needs_a_person_is_retried(desk, client) -> None:
    """Down a tile of the dashboard to a refund that a bank, ill for four calls, did not take."""
    created = shop.paid(client, "refund:error_5xx*4")
    shop.data(shop.refund(client, created, 3_000), 202)
    finish()
    saga = SagaInstance.objects.get(definition="refund.create")
    assert saga.needs_attention
    oscar = desk("oscar", Role.OPERATOR)
    oscar.go("/admin/?environment=test")
    oscar.page.get_by_role("link", name=oscar.says("Stopped or stuck sagas")).click()
    oscar.page.get_by_role("link", name=saga.business_id).click()
    attempts = oscar.page.get_by_role("region", name=oscar.says("Attempts"))
    expect(attempts.get_by_text(oscar.says("Outcome unknown"))).to_have_count(4)
    expect(attempts.get_by_text("the simulator answered 500", exact=True)).to_have_count(4)
    oscar.unfolds("More actions")
    assert oscar.why_not("Compensate") == oscar.says("The pivot may have happened: query the channel first.")
    dialog = oscar.opens("Retry now")
    dialog.get_by_label(oscar.says("Reason")).press("ArrowDown")
    oscar.types("Note", "the bank is well again")
    oscar.sends("Retry now")
    finish()
    oscar.page.reload()
    oscar.is_told("Completed")
    expect(attempts.get_by_text("oscar: the bank is well again")).to_be_visible()
    assert Refund.objects.get().status == "succeeded"
    assert done() == [("oscar", "saga.retry_now", "the bank is well again")]


def test_what_has_moved_on_is_looked_at_again_before_it_is_undone(desk, client, settings) -> None:
    settings.SAGA_RETRY_BASE_SECONDS = settings.SAGA_RETRY_CAP_SECONDS = 3600
    created = shop.data(shop.create(client, "no_webhook,timeout_after"), 202)
    saga = saga_of(created["payment_no"], "payment.create")
    oscar = desk("oscar", Role.OPERATOR)
    oscar.go(f"/admin/sagas/sagainstance/{saga.pk}/change/")
    operations.request_saga_cancellation(saga_id=saga.pk)  # by the merchant's program, meanwhile
    oscar.unfolds("More actions")
    dialog = oscar.opens("Compensate")
    oscar.picture("saga-dialog")
    oscar.chooses("Reason", "customer_asked")
    oscar.types("Note", "the customer left")
    assert oscar.button("Compensate").is_disabled()
    oscar.types("Type to confirm", "PAY-1")
    assert oscar.button("Compensate").is_disabled()
    oscar.types("Type to confirm", saga.business_id)
    oscar.sends("Compensate")
    expect(dialog).to_have_count(0)
    oscar.is_told(
        "It has changed meanwhile: you saw revision %(seen)s, now it is %(current)s. Look again.",
        seen=saga.revision,
        current=saga.revision + 1,
    )
    assert not StaffAction.objects.exists()
    oscar.sends("Compensate")
    finish()
    oscar.page.reload()
    oscar.is_told("Compensated")
    saga.refresh_from_db()
    assert saga.status == SagaStatus.COMPENSATED
    assert Payment.objects.get().captured_minor == 0
    assert done() == [("oscar", "saga.compensate", "the customer left")]


def test_a_second_person_says_why_not(desk, client) -> None:
    saga = make_saga_in_review(client, 2_000_000)
    resolve(signed_in(member("ana", Role.OPERATOR)), saga)
    ben = desk("ben", Role.OPERATOR)
    ben.go(f"/admin/sagas/sagainstance/{saga.pk}/change/")
    dialog = ben.opens("Reject")
    ben.picture("saga-reject")
    reason = dialog.get_by_label(ben.says("Reason"))
    ben.tabs_to(ben.button("Reject"))
    ben.page.keyboard.press("Enter")
    assert reason.evaluate("each => each.validity.valueMissing"), "the browser holds it back"
    ben.types("Reason", "the statement says otherwise")
    ben.sends("Reject")
    ben.is_told("Rejected. Nothing was changed.")
    saga.refresh_from_db()
    assert saga.needs_attention
    assert done() == [
        ("ana", "approval.request", "settled by hand"),
        ("ben", "approval.reject", "the statement says otherwise"),
    ]


def test_much_money_takes_two(desk, client) -> None:
    saga = make_saga_in_review(client, 2_000_000)
    address = f"/admin/sagas/sagainstance/{saga.pk}/change/"
    ana = desk("ana", Role.OPERATOR)
    ana.go(address)
    ana.unfolds("More actions")
    ana.opens("Mark resolved")
    ana.chooses("Resolution", "watch")
    ana.chooses("Reason", "incident")
    ana.types("Note", "settled by hand")
    ana.types("Type to confirm", saga.business_id)
    ana.sends("Mark resolved")
    saga.refresh_from_db()
    assert saga.needs_attention, "nothing is done before the second person"
    ana.is_told("You requested this yourself. Another person must approve it.")
    ana.unfolds("More actions")
    assert ana.why_not("Mark resolved") == ana.says("An approval is already pending for this object.")
    ben = desk("ben", Role.OPERATOR)
    ben.go("/admin/?environment=test")
    ben.page.get_by_role("link", name=re.compile(rf"^{ben.says('Pending approvals')}\s")).click()
    expect(ben.page.get_by_text(saga.business_id).first).to_be_visible()
    ben.go(address)
    ben.picture("saga-approval")
    dialog = ben.opens("Approve")
    expect(dialog.get_by_text("settled by hand")).to_be_visible()
    ben.sends("Approve")
    ben.is_told("Approved and done.")
    saga.refresh_from_db()
    assert not saga.needs_attention
    assert done() == [
        ("ana", "approval.request", "settled by hand"),
        ("ana", "saga.mark_resolved", "settled by hand"),
        ("ben", "approval.approve", "settled by hand"),
    ]

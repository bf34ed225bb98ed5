"""The operator handles sagas that need review, and approves requests."""

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


def test_a_saga_that_needs_review_is_retried(desk, client) -> None:
    """A tile of the dashboard leads to a refund whose first four calls the bank answered with 500."""
    created = shop.paid(client, "refund:error_5xx*4")
    shop.data(shop.refund(client, created, 3_000), 202)
    finish()
    saga = SagaInstance.objects.get(definition="refund.create")
    assert saga.needs_attention
    oscar = desk("oscar", Role.OPERATOR)
    oscar.go("/admin/?environment=test")
    oscar.page.get_by_role("link", name=oscar.translate("Stopped or stuck sagas")).click()
    oscar.page.get_by_role("link", name=saga.business_id).click()
    attempts = oscar.page.get_by_role("region", name=oscar.translate("Attempts"))
    expect(attempts.get_by_text(oscar.translate("Outcome unknown"))).to_have_count(4)
    expect(attempts.get_by_text("the simulator answered 500", exact=True)).to_have_count(4)
    oscar.unfold("More actions")
    assert oscar.read_disabled_reason("Compensate") == oscar.translate(
        "The pivot may have happened: query the channel first."
    )
    dialog = oscar.open_dialog("Retry now")
    dialog.get_by_label(oscar.translate("Reason")).press("ArrowDown")
    oscar.fill_field("Note", "the bank is well again")
    oscar.press("Retry now")
    finish()
    oscar.page.reload()
    oscar.require_text("Completed")
    expect(attempts.get_by_text("oscar: the bank is well again")).to_be_visible()
    assert Refund.objects.get().status == "succeeded"
    assert done() == [("oscar", "saga.retry_now", "the bank is well again")]


def test_a_saga_that_has_changed_is_shown_again_before_it_is_compensated(desk, client, settings) -> None:
    settings.SAGA_RETRY_BASE_SECONDS = settings.SAGA_RETRY_CAP_SECONDS = 3600
    created = shop.data(shop.create(client, "no_webhook,timeout_after"), 202)
    saga = saga_of(created["payment_no"], "payment.create")
    oscar = desk("oscar", Role.OPERATOR)
    oscar.go(f"/admin/sagas/sagainstance/{saga.pk}/change/")
    operations.request_saga_cancellation(saga_id=saga.pk)  # the merchant's program cancels meanwhile
    oscar.unfold("More actions")
    dialog = oscar.open_dialog("Compensate")
    oscar.save_picture("saga-dialog")
    oscar.choose_option("Reason", "customer_asked")
    oscar.fill_field("Note", "the customer left")
    assert oscar.get_button("Compensate").is_disabled()
    oscar.fill_field("Type to confirm", "PAY-1")
    assert oscar.get_button("Compensate").is_disabled()
    oscar.fill_field("Type to confirm", saga.business_id)
    oscar.press("Compensate")
    expect(dialog).to_have_count(0)
    oscar.require_text(
        "It has changed meanwhile: you saw revision %(seen)s, now it is %(current)s. Look again.",
        seen=saga.revision,
        current=saga.revision + 1,
    )
    assert not StaffAction.objects.exists()
    oscar.press("Compensate")
    finish()
    oscar.page.reload()
    oscar.require_text("Compensated")
    saga.refresh_from_db()
    assert saga.status == SagaStatus.COMPENSATED
    assert Payment.objects.get().captured_minor == 0
    assert done() == [("oscar", "saga.compensate", "the customer left")]


def test_an_approver_rejects_with_a_reason(desk, client) -> None:
    saga = make_saga_in_review(client, 2_000_000)
    resolve(signed_in(member("ana", Role.OPERATOR)), saga)
    ben = desk("ben", Role.OPERATOR)
    ben.go(f"/admin/sagas/sagainstance/{saga.pk}/change/")
    dialog = ben.open_dialog("Reject")
    ben.save_picture("saga-reject")
    reason = dialog.get_by_label(ben.translate("Reason"))
    ben.tab_to(ben.get_button("Reject"))
    ben.page.keyboard.press("Enter")
    assert reason.evaluate("each => each.validity.valueMissing"), "the browser does not send the form"
    ben.fill_field("Reason", "the statement says otherwise")
    ben.press("Reject")
    ben.require_text("Rejected. Nothing was changed.")
    saga.refresh_from_db()
    assert saga.needs_attention
    assert done() == [
        ("ana", "approval.request", "settled by hand"),
        ("ben", "approval.reject", "the statement says otherwise"),
    ]


def test_a_large_amount_needs_an_approval(desk, client) -> None:
    saga = make_saga_in_review(client, 2_000_000)
    address = f"/admin/sagas/sagainstance/{saga.pk}/change/"
    ana = desk("ana", Role.OPERATOR)
    ana.go(address)
    ana.unfold("More actions")
    ana.open_dialog("Mark resolved")
    ana.choose_option("Resolution", "watch")
    ana.choose_option("Reason", "incident")
    ana.fill_field("Note", "settled by hand")
    ana.fill_field("Type to confirm", saga.business_id)
    ana.press("Mark resolved")
    saga.refresh_from_db()
    assert saga.needs_attention, "nothing is done before the approval"
    ana.require_text("You requested this yourself. Another person must approve it.")
    ana.unfold("More actions")
    assert ana.read_disabled_reason("Mark resolved") == ana.translate(
        "An approval is already pending for this object."
    )
    ben = desk("ben", Role.OPERATOR)
    ben.go("/admin/?environment=test")
    ben.page.get_by_role("link", name=re.compile(rf"^{ben.translate('Pending approvals')}\s")).click()
    expect(ben.page.get_by_text(saga.business_id).first).to_be_visible()
    ben.go(address)
    ben.save_picture("saga-approval")
    dialog = ben.open_dialog("Approve")
    expect(dialog.get_by_text("settled by hand")).to_be_visible()
    ben.press("Approve")
    ben.require_text("Approved and done.")
    saga.refresh_from_db()
    assert not saga.needs_attention
    assert done() == [
        ("ana", "approval.request", "settled by hand"),
        ("ana", "saga.mark_resolved", "settled by hand"),
        ("ben", "approval.approve", "settled by hand"),
    ]

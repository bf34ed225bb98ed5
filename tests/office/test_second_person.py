"""An operation on a saga of a large amount needs the approval of a second person."""

import json
import re
from collections.abc import Callable
from html import unescape
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from backoffice.approvals import decisions
from backoffice.approvals import saga_approvals as approvals
from backoffice.approvals.models import Approval
from common.errors import NotPermitted
from gateway.models import Payment
from sagas import operations
from sagas.availability import Operation
from sagas.models import SagaInstance
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

OPERATOR = ("view_*", "sagas.operate_sagainstance", "staff.approve_operation")


@pytest.fixture
def ana(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ana", *OPERATOR)


@pytest.fixture
def ben(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ben", *OPERATOR)


@pytest.fixture
def saga_in_review(client: SignedClient) -> SagaInstance:
    """A saga of a payment of 20,000.00 USD that needs review."""
    return make_saga_in_review(client, 2_000_000)


def make_saga_in_review(client: SignedClient, amount: int) -> SagaInstance:
    payment = shop.opened(client, amount=amount)
    saga = SagaInstance.objects.get(business_id=payment["payment_no"])
    with without_triggers():
        SagaInstance.objects.filter(pk=saga.pk).update(
            status="failed", needs_attention=True, attention_reason="amounts differ"
        )
    return SagaInstance.objects.get(pk=saga.pk)


def resolve(browser: Client, saga: SagaInstance, **more: str) -> None:
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    why = {"reason_code": "incident", "reason": "settled by hand", "ticket": "OPS-7"}
    seen = SagaInstance.objects.get(pk=saga.pk).revision
    form = {"resolution": "watch", **why, **more, "confirm": saga.business_id, "seen": [f"{saga.pk}:{seen}"]}
    assert browser.post(url, form).status_code == 302


def page(browser: Client, saga: SagaInstance) -> str:
    answer = browser.get(reverse("admin:sagas_sagainstance_change", args=[saga.pk]))
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def decide(browser: Client, saga: SagaInstance, word: str) -> int:
    approval = Approval.objects.latest("requested_at")
    url = reverse("admin:sagas_sagainstance_decide", args=[saga.pk])
    decision = {word: "1"} if word in ("approve", "adopt") else {"reason": "the statement says otherwise"}
    return browser.post(url, {"approval": str(approval.pk), **decision}).status_code


def test_the_request_and_the_approval_are_audited(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    saga_in_review.refresh_from_db()
    assert saga_in_review.needs_attention, "nothing is done before the approval"
    html = page(ben, saga_in_review)
    assert "requested by ana" in html
    assert "An approval is already pending for this object." in html
    assert decide(ben, saga_in_review, "approve") == 302
    saga_in_review.refresh_from_db()
    assert not saga_in_review.needs_attention
    recorded = list(StaffAction.objects.order_by("id").values_list("action", "actor"))
    assert recorded == [
        ("approval.request", "ana"),
        ("saga.mark_resolved", "ana"),
        ("approval.approve", "ben"),
    ]
    after = StaffAction.objects.get(action="saga.mark_resolved").after
    assert (after["approved_by"], after["ticket"], after["reason_code"]) == ("ben", "OPS-7", "incident")


def test_the_approver_sees_and_approves_the_resolution(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review, resolution="unpaid")
    payment = Payment.objects.get(payment_no=saga_in_review.business_id)
    assert payment.status == "pending", "nothing changes before the approval"
    assert "Not paid: the payment fails and its order is cancelled" in page(ben, saga_in_review)
    assert decide(ben, saga_in_review, "approve") == 302
    payment.refresh_from_db()
    assert (payment.status, payment.failure_code) == ("failed", "resolved_by_staff")
    after = StaffAction.objects.get(action="saga.mark_resolved").after
    assert (after["ending"], after["approved_by"]) == ("unpaid", "ben")


def test_nobody_approves_their_own_request(ana, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    assert "Another person must approve it" in page(ana, saga_in_review)
    assert decide(ana, saga_in_review, "approve") == 302
    saga_in_review.refresh_from_db()
    assert saga_in_review.needs_attention
    assert Approval.objects.get().state == "pending"
    with pytest.raises(IntegrityError, match="approval_by_a_second_person"), transaction.atomic():
        Approval.objects.update(state="approved", decided_by="ana")


def test_a_request_for_an_old_revision_is_not_done(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    seen = SagaInstance.objects.get(pk=saga_in_review.pk).revision
    operations.retry_step(saga_id=saga_in_review.pk, seen_revision=seen, actor="carl", reason="quicker")
    decide(ben, saga_in_review, "approve")
    assert Approval.objects.get().state == "stale"
    assert not StaffAction.objects.filter(action="saga.mark_resolved").exists()


def test_a_rejection_changes_nothing_and_allows_another_request(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    decide(ben, saga_in_review, "reject")
    assert Approval.objects.get().state == "rejected"
    refused = StaffAction.objects.get(action="approval.reject")
    assert (refused.actor, refused.reason) == ("ben", "the statement says otherwise")
    resolve(ana, saga_in_review)
    assert Approval.objects.filter(state="pending").count() == 1


def test_a_rejection_requires_a_reason(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    url = reverse("admin:sagas_sagainstance_decide", args=[saga_in_review.pk])
    approval = Approval.objects.get()
    for nothing in ({}, {"reason": ""}, {"reason": " \n "}):
        answer = ben.post(url, {"approval": str(approval.pk), **nothing})
        assert answer.status_code == 422
        assert "This field is required." in unescape(answer.content.decode())
    assert ben.get(url).status_code == 200, "without JavaScript the form is a page of its own"
    with pytest.raises(NotPermitted):
        decisions.reject(approval_id=approval.pk, actor="ben", reason=" ")
    assert Approval.objects.get().state == "pending"
    assert not StaffAction.objects.filter(action="approval.reject").exists()


def test_an_approval_is_decided_once(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    first = Approval.objects.get()
    decide(ben, saga_in_review, "reject")
    resolve(ana, saga_in_review)
    url = reverse("admin:sagas_sagainstance_decide", args=[saga_in_review.pk])
    for decision in ({"approve": "1"}, {"reason": "no"}):
        answer = ben.post(url, {"approval": str(first.pk), **decision}, follow=True)
        assert "This approval has been decided already." in answer.content.decode()
    assert Approval.objects.filter(state="pending").count() == 1


def test_a_saga_has_one_pending_approval(ana, ben, saga_in_review) -> None:
    """The page was opened twice: the database refuses the second request, and the page reports it."""
    resolve(ana, saga_in_review)
    seen = SagaInstance.objects.get(pk=saga_in_review.pk).revision
    with pytest.raises(NotPermitted, match="An approval is already pending"):
        approvals.operate_or_request_approval(
            operation=Operation.MARK_RESOLVED,
            saga_id=saga_in_review.pk,
            seen_revision=seen,
            actor="ben",
            why=approvals.ActionReason("me too"),
        )
    assert Approval.objects.count() == 1


def test_deciding_needs_the_permission_to_approve(ana, saga_in_review, sign_in) -> None:
    resolve(ana, saga_in_review)
    vera = sign_in("vera", "view_*")
    assert "Your role does not permit approvals." in page(vera, saga_in_review)
    assert decide(vera, saga_in_review, "approve") == 403
    assert decide(vera, saga_in_review, "reject") == 403
    url = reverse("admin:sagas_sagainstance_decide", args=[saga_in_review.pk])
    assert [browser.get(url).status_code for browser in (vera, ana)] == [403, 200]


def test_a_small_amount_needs_no_approval(ana, client) -> None:
    small = make_saga_in_review(client, 100_000)
    resolve(ana, small)
    small.refresh_from_db()
    assert not small.needs_attention
    assert not Approval.objects.exists()


def test_the_typed_confirmation_must_be_right(ana, saga_in_review) -> None:
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.COMPENSATE.value])
    seen = [f"{saga_in_review.pk}:{saga_in_review.revision}"]
    answer = ana.post(url, {"reason_code": "other", "reason": "x", "confirm": "yes", "seen": seen})
    assert f"Type {saga_in_review.business_id}." in unescape(answer.content.decode())
    assert not StaffAction.objects.exists()


def test_the_page_shows_effects_of_operations_and_attempts(ana, saga_in_review) -> None:
    html = page(ana, saga_in_review)
    for shown in (
        "CallPaymentChannel",
        "Calls no channel and compensates no step",
        "compensation:",
        "Lease holder" if saga_in_review.status == "in_progress" else "State",
        f'data-must-be="{saga_in_review.business_id}"',
    ):
        assert shown in html, shown
    assert "Payment.create" not in html, "the name of a definition is not capitalized"
    assert re.search(r'<rect class="office-gantt-bar" x="\d+" width="\d+"', html)
    assert "Recommended" in html
    assert 'data-preview="resolution" data-choice="paid"' in html, "each resolution has its own preview"
    _head, _title, below = html.partition('id="attempts-title"')
    moments = re.findall(r'</div>\s*<time datetime="([^"]+)"', below)
    assert moments == sorted(moments, reverse=True), "newest first, as on the payment's timeline"


def test_the_download_is_complete_and_redacted(ana, saga_in_review) -> None:
    answer = ana.get(reverse("admin:sagas_sagainstance_json", args=[saga_in_review.pk]))
    recorded = json.loads(answer.content)
    assert recorded["saga"]["business_id"] == saga_in_review.business_id
    assert len(recorded["history"]) == saga_in_review.events.count()
    next_action = next(step["result"]["next_action"] for step in recorded["saga"]["steps"] if step["result"])
    assert next_action == "•••"


def test_a_card_number_in_the_data_of_a_saga_is_redacted(ana, saga_in_review) -> None:
    metadata = {**saga_in_review.metadata, "subject": "card 4242 4242 4242 4242"}
    with without_triggers():
        SagaInstance.objects.filter(pk=saga_in_review.pk).update(metadata=metadata)
        saga_in_review.steps.update(execute_data={"subject": "card 4242 4242 4242 4242"})
    step = saga_in_review.steps.first()
    assert step is not None
    for url in (
        reverse("admin:sagas_sagainstance_change", args=[saga_in_review.pk]),
        reverse("admin:sagas_sagastep_change", args=[step.pk]),
    ):
        html = unescape(ana.get(url).content.decode())
        assert "card " in html, url
        assert "4242 4242" not in html, url


def test_an_operation_in_the_terminal_needs_an_approval_too(ana, ben, saga_in_review) -> None:  # type: ignore[no-untyped-def]
    recorded = StringIO()
    call_command(
        "saga",
        "resolve",
        saga_in_review.business_id,
        "--reason",
        "by hand",
        "--actor",
        "ana",
        stdout=recorded,
    )
    assert "another approve it" in recorded.getvalue()
    saga_in_review.refresh_from_db()
    assert saga_in_review.needs_attention
    approval = Approval.objects.get()
    assert (approval.requested_by, approval.operation) == ("terminal:ana", "mark_resolved")
    for approver in ("terminal:ana", "ana", "ben"):
        with pytest.raises(NotPermitted):
            approvals.approve(approval_id=approval.pk, actor=approver)
    assert "Adopt request" in page(ana, saga_in_review)
    assert decide(ana, saga_in_review, "adopt") == 302
    with pytest.raises(NotPermitted):
        approvals.approve(approval_id=approval.pk, actor="ana")
    assert decide(ben, saga_in_review, "approve") == 302
    assert Approval.objects.get().decided_by == "ben"
    (line,) = StaffAction.objects.filter(action="approval.approve")
    assert (line.address, line.after["account_unchanged_for_hours"]) == ("127.0.0.1", 0)


def test_a_resolution_and_a_reason_must_be_chosen(ana, saga_in_review) -> None:
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    seen = f"{saga_in_review.pk}:{saga_in_review.revision}"
    answer = ana.post(url, {"reason": "x", "confirm": saga_in_review.business_id, "seen": [seen]})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"resolution", "reason_code"}
    assert not Approval.objects.exists()


def test_before_approving_the_request_and_its_effects_are_shown(ana, ben, saga_in_review) -> None:
    resolve(ana, saga_in_review)
    url = reverse("admin:sagas_sagainstance_decide", args=[saga_in_review.pk])
    html = unescape(ben.get(f"{url}?approve=1").content.decode())
    for text in (
        "20,000.00 USD",
        "settled by hand",
        "Calls no channel and compensates no step.",
        'name="approve"',
    ):
        assert text in html, text
    own = unescape(ana.get(f"{url}?approve=1").content.decode())
    assert 'name="approve"' not in own
    assert "Another person must approve it" in own
    assert Approval.objects.get().state == "pending"

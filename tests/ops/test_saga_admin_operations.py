"""Operations on sagas in the admin: they need a permission, and the revision that the page showed."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.actions import selection_pages
from sagas import engine, operations, signals
from sagas.availability import Operation
from sagas.models import SagaEvent, SagaInstance, SagaSignal, SagaStatus, SagaStep
from sagas.outcomes import NeedsReview
from sagas.state import SagaState
from tests.sagas.conftest import FakeSteps, begin, define, fake_steps, reload  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


def browser(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture
def ana(transactional_db) -> Client:
    return browser("ana", "view_sagainstance", "operate_sagainstance", "view_staffaction")


@pytest.fixture
def viewer(transactional_db) -> Client:
    return browser("viewer", "view_sagainstance")


@pytest.fixture
def make(fake_steps: FakeSteps, define, begin):  # noqa: F811
    def _make() -> SagaState:
        fake_steps.answers("call2", NeedsReview("amounts differ"))
        return engine.advance_saga(begin(define()))

    return _make


@pytest.fixture
def saga_in_review(make) -> SagaState:
    return make()


def page(saga: SagaState) -> str:
    return reverse("admin:sagas_sagainstance_change", args=[saga.id])


def operate_page(operation: Operation, *sagas: SagaState) -> str:
    url = reverse("admin:sagas_sagainstance_operate", args=[operation.value])
    return f"{url}?" + "&".join(f"id={saga.id}" for saga in sagas)


def seen_on(html: str) -> list[str]:
    return re.findall(r'name="seen" value="([^"]+)"', html)


def fields_of(html: str) -> dict[str, object]:
    """The hidden and required fields of the page's form, besides the reason."""
    typed = re.search(r'data-must-be="([^"]+)"', html)
    given: dict[str, object] = {"seen": seen_on(html), "reason_code": "channel_said"}
    return {**given, "confirm": typed[1]} if typed else given


def text_of(answer) -> str:
    return unescape(answer.content.decode())


def act(client: Client, operation: Operation, *sagas: SagaState, **form):
    """Opens the page of the operation, fills its form in and sends it."""
    opened = client.get(operate_page(operation, *sagas))
    assert opened.status_code == 200
    data = {"reason": "the bank says so", **fields_of(text_of(opened)), **form}
    return client.post(reverse("admin:sagas_sagainstance_operate", args=[operation.value]), data)


def test_the_saga_page_offers_what_is_allowed_and_says_why_not(ana, saga_in_review):
    html = text_of(ana.get(page(saga_in_review)))
    for operation in Operation:
        assert operate_page(operation, saga_in_review) in html
    assert "Needs review: amounts differ" in html
    act(ana, Operation.MARK_RESOLVED, saga_in_review)
    html = text_of(ana.get(page(saga_in_review)))
    for operation in Operation:
        assert operate_page(operation, saga_in_review) not in html
    assert html.count("The saga has ended: Failed.") == len(Operation) - 1
    assert "The saga does not need review." in html


def test_the_saga_page_lists_signals_and_the_steps_that_received_them(ana, saga_in_review):
    assert "signals-title" not in text_of(ana.get(page(saga_in_review)))
    for signal_id in ("evt_1", "evt_2"):
        signals.deliver_signal(saga_id=saga_in_review.id, name="bank.settled", signal_id=signal_id)
    SagaSignal.objects.filter(signal_id="evt_1").update(taken_at=Now(), taken_by="AwaitSettlement")
    html = text_of(ana.get(page(saga_in_review)))
    table = html[html.index("signals-title") :].split("</section>")[0]
    rows = [re.findall(r"<samp>(.*?)</samp>|(not received yet)", row) for row in table.split("<tr>")[2:]]
    shown = [[samp or word for samp, word in row] for row in rows]
    assert shown == [
        ["bank.settled", "evt_1", "AwaitSettlement"],
        ["bank.settled", "evt_2", "not received yet"],
    ]
    for signal in SagaSignal.objects.all():
        assert f'datetime="{signal.received_at.isoformat()}"' in table.replace("Z", "+00:00")


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_is_done_and_recorded(ana, saga_in_review, operation):
    form = {"result": '{"state": "paid"}'} if operation == Operation.SKIP_STEP else {}
    answer = act(ana, operation, saga_in_review, **form)
    assert (answer.status_code, answer["Location"]) == (302, page(saga_in_review))
    action, event = StaffAction.objects.get(), SagaEvent.objects.filter(saga_id=saga_in_review.id).last()
    assert (action.actor, action.action, action.reason) == (
        "ana",
        f"saga.{operation.value}",
        "the bank says so",
    )
    assert (event.kind, event.actor, event.reason) == ("person", "ana", "the bank says so")
    result = "done" if operation == Operation.MARK_RESOLVED else "started"
    assert f"{operation.label}: {result} for 1." in text_of(ana.get(page(saga_in_review)))
    if operation == Operation.SKIP_STEP:
        assert SagaStep.objects.get(saga_id=saga_in_review.id, step_name="call2").result == {"state": "paid"}


def test_a_saga_that_has_changed_is_shown_again_and_can_then_be_operated(ana, saga_in_review):
    old = seen_on(text_of(ana.get(operate_page(Operation.COMPENSATE, saga_in_review))))
    revision = reload(saga_in_review).revision
    operations.retry_step(saga_id=saga_in_review.id, seen_revision=revision, actor="ben", reason="quicker")
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.COMPENSATE.value])
    form = {"reason": "kept", "reason_code": "other", "confirm": saga_in_review.business_id}
    conflict = ana.post(url, {**form, "seen": old})
    html = text_of(conflict)
    assert conflict.status_code == 409
    assert f"you saw revision {revision}, now it is {revision + 1}" in html
    assert "kept" in html, "the form keeps the reason"
    assert "Due; waiting for a worker" in html
    assert not StaffAction.objects.exists()
    again = ana.post(url, {**form, "seen": seen_on(html)})
    assert again.status_code == 302
    assert reload(saga_in_review).direction == "compensating"


def test_a_reason_is_required(ana, saga_in_review):
    for reason in ("", "  "):
        answer = act(ana, Operation.RETRY_NOW, saga_in_review, reason=reason)
        assert answer.status_code == 422
        assert "This field is required." in text_of(answer)
    assert reload(saga_in_review).needs_attention


@pytest.mark.parametrize("result", ["", "{", "[1]", '{"a": NaN}', '{"a": "\\u0000"}'])
def test_a_result_that_is_no_json_object_is_refused(ana, saga_in_review, result):
    answer = act(ana, Operation.SKIP_STEP, saga_in_review, result=result)
    assert answer.status_code in (422, 409)
    assert re.search("is required|not valid JSON|must be a JSON object", text_of(answer))
    assert "{} if no later step reads it" in text_of(answer)
    assert reload(saga_in_review).needs_attention
    assert not StaffAction.objects.exists()


def test_an_operation_that_is_not_allowed_has_no_form(ana, saga_in_review):
    act(ana, Operation.MARK_RESOLVED, saga_in_review)
    html = text_of(ana.get(operate_page(Operation.RETRY_NOW, saga_in_review)))
    assert "The saga has ended: Failed." in html
    assert seen_on(html) == []
    assert 'name="reason"' not in html
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.RETRY_NOW.value])
    assert ana.post(url, {"reason": "x"}).status_code == 404


class TestList:
    def choose(self, client: Client, operation: Operation, *sagas: SagaState):
        data = {"action": operation.value, "_selected_action": [str(saga.id) for saga in sagas]}
        return client.post(reverse("admin:sagas_sagainstance_changelist"), data)

    def test_several_sagas_are_operated_together(self, ana, make):
        sagas = [make() for _each in range(3)]
        answer = self.choose(ana, Operation.CANCEL, *sagas)
        assert answer.status_code == 302
        opened = ana.get(answer["Location"])
        seen = seen_on(text_of(opened))
        assert len(seen) == 3
        moved_on = sagas[0]
        revision = reload(moved_on).revision
        operations.resolve_saga(saga_id=moved_on.id, seen_revision=revision, actor="ben", reason="x")
        url = reverse("admin:sagas_sagainstance_operate", args=[Operation.CANCEL.value])
        partly = ana.post(url, {"reason": "all of them", "reason_code": "other", "seen": seen})
        assert partly.status_code == 409
        assert "Cancel: started for 2." in text_of(partly)
        assert f"you saw revision {revision}" in text_of(partly)
        assert str(sagas[1].id) not in text_of(partly)
        assert StaffAction.objects.count() == 2
        assert reload(moved_on).status == SagaStatus.FAILED
        done = act(ana, Operation.RETRY_NOW, *sagas[1:])
        assert done["Location"] == reverse("admin:sagas_sagainstance_changelist")

    def test_only_the_first_selected_sagas_are_operated(self, ana, make, monkeypatch):
        sagas = [make() for _each in range(3)]
        monkeypatch.setattr(selection_pages, "MAX_ROWS", 2)
        opened = ana.get(self.choose(ana, Operation.RETRY_NOW, *sagas)["Location"])
        assert "Only the first 2 selected rows are shown." in text_of(opened)
        assert len(seen_on(text_of(opened))) == 2

    def test_skipping_is_for_one_saga_at_a_time(self, ana, saga_in_review):
        html = text_of(ana.get(reverse("admin:sagas_sagainstance_changelist")))
        offered = set(re.findall(r'<option value="([a-z_]+)"', html))
        assert {each.value for each in Operation if each != Operation.SKIP_STEP} <= offered
        assert Operation.SKIP_STEP.value not in offered

    def test_viewers_cannot_select_operations(self, viewer, saga_in_review):
        html = text_of(viewer.get(reverse("admin:sagas_sagainstance_changelist")))
        assert "retry_now" not in html
        answer = self.choose(viewer, Operation.RETRY_NOW, saga_in_review)
        assert "operate" not in answer.get("Location", "")


class TestPermission:
    @pytest.mark.parametrize("operation", Operation)
    def test_a_viewer_cannot_operate(self, viewer, saga_in_review, operation):
        before = SagaInstance.objects.filter(id=saga_in_review.id).values().get()
        seen = f"{saga_in_review.id}:{before['revision']}"
        url = operate_page(operation, saga_in_review)
        assert viewer.get(url).status_code == 403
        assert viewer.post(url, {"reason": "x", "result": "{}", "seen": [seen]}).status_code == 403
        assert SagaInstance.objects.filter(id=saga_in_review.id).values().get() == before

    def test_the_page_names_the_missing_permission(self, viewer, saga_in_review):
        html = text_of(viewer.get(page(saga_in_review)))
        assert html.count("Your role does not permit this action.") == len(Operation)
        assert "/operate/" not in html

    def test_operating_needs_the_view_permission_too(self, saga_in_review):
        blind = browser("blind", "operate_sagainstance")
        assert blind.get(operate_page(Operation.RETRY_NOW, saga_in_review)).status_code == 403

    def test_a_stranger_is_sent_to_log_in(self, saga_in_review):
        answer = Client().get(operate_page(Operation.RETRY_NOW, saga_in_review))
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


@pytest.mark.parametrize(
    "seen",
    ["x", "x:1", "{id}", "{id}:", "{id}:-1", "{id}:" + "9" * 30, "00000000-0000-0000-0000-000000000000:1"],
)
def test_tampered_forms_are_not_found(ana, saga_in_review, seen):
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.RETRY_NOW.value])
    answer = ana.post(
        url, {"reason": "x", "reason_code": "other", "seen": [seen.format(id=saga_in_review.id)]}
    )
    assert answer.status_code == 404
    assert reload(saga_in_review).needs_attention


def test_a_skip_says_what_the_result_usually_has(ana, saga_in_review, fake_steps, define, begin):  # noqa: F811
    url = operate_page(Operation.SKIP_STEP, saga_in_review)
    assert "{} if no later step reads it" in text_of(ana.get(url))
    finished = engine.advance_saga(begin(saga_in_review.definition))
    assert reload(finished).status == SagaStatus.COMPLETED
    html = text_of(ana.get(url))
    assert "It usually contains: by." in html
    assert "call2" in html


def test_odd_addresses_are_not_found(ana, saga_in_review, make):
    assert ana.get(operate_page(Operation.SKIP_STEP, saga_in_review, make())).status_code == 404
    assert ana.get(reverse("admin:sagas_sagainstance_operate", args=["explode"])).status_code == 404
    assert ana.get(operate_page(Operation.RETRY_NOW)).status_code == 404
    for odd in ("PAY-1", "%00", saga_in_review.business_id):
        assert ana.get(f"/admin/sagas/sagainstance/{odd}/change/").status_code in (302, 400, 404)
    assert ana.get(operate_page(Operation.RETRY_NOW) + "id=x").status_code == 404


def test_staff_actions_are_found_by_object_and_by_person(ana, make):
    first, second = make(), make()
    act(ana, Operation.RETRY_NOW, first)
    act(ana, Operation.CANCEL, second)
    changelist = reverse("admin:audit_staffaction_changelist")

    def found(query: str) -> set[str]:
        return {row.object_id for row in ana.get(changelist, {"q": query}).context["cl"].result_list}

    assert found(str(first.id)) == {str(first.id)}
    assert found("ana") == {str(first.id), str(second.id)}
    assert found("an") == set()


def test_the_page_works_in_chinese(saga_in_review):
    with translation.override("zh-hans"):
        User.objects.create_superuser("root")
        client = Client(headers={"accept-language": "zh-hans"})
        client.force_login(User.objects.get(username="root"))
        assert client.get(operate_page(Operation.RETRY_NOW, saga_in_review)).status_code == 200

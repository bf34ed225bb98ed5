"""A person closes a saga and says what became of the payment or refund: it ends so, or somebody goes on watching it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.services.audited_saga_operations import operate
from channels.base import Declined, Reported
from common.errors import NotPermitted, StaleView
from gateway.models import Payment, Refund
from monitoring.services import run_checks
from sagas import registry, signals
from sagas.availability import Operation
from sagas.models import SagaInstance, SagaStatus
from tests.ops.test_saga_admin_operations import browser
from tests.support import background, bank, shop
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import poll_due
from tests.support.signing import SignedClient
from tests.support.threads import at_once
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
InReview = tuple[dict[str, Any], SagaInstance]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def lie(line: InterceptedSimulator, answer: Callable[[Any], Any], *operations: str) -> None:
    line.after = lambda operation, true: answer(true) if operation in operations else true


def other_amount(true: Any) -> Any:
    fits = isinstance(true, Reported)
    return Reported(replace(true.value, amount_minor=1, captured_minor=1)) if fits else true


def other_refund(true: Any) -> Any:
    return Reported(replace(true.value, amount_minor=1)) if isinstance(true, Reported) else true


def saga_in_review(number: str, definition: str) -> SagaInstance:
    background.finish()
    saga = background.saga_of(number, definition)
    assert saga.needs_attention
    return saga


def undecidable_creation(client: SignedClient, line: InterceptedSimulator) -> InReview:
    lie(line, other_amount, "create_payment")
    payment = shop.data(shop.create(client, "no_webhook", order_no="ORDER-1", key="a-creation"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.create")


def creation_not_undone(client: SignedClient, line: InterceptedSimulator) -> InReview:
    """The way back failed: the saga is over, the payment is not."""
    lie(line, lambda _true: Declined("cancel_refused", "cannot be cancelled"), "cancel_payment")
    payment = shop.data(
        shop.create(client, "no_webhook,timeout_after*always,query:timeout_before*always"), 202
    )
    saga = saga_in_review(payment["payment_no"], "payment.create")
    assert saga.status == SagaStatus.FAILED
    return payment, saga


def undecidable_capture(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.authorized(client, "no_webhook")
    lie(line, other_amount, "capture_payment")
    shop.data(shop.capture(client, payment, amount=4_000, key="a-capture"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.capture")


def undecidable_cancel(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.opened(client, "no_webhook")
    bank.pay(payment)
    lie(line, other_amount, "cancel_payment", "find_payment")
    shop.data(shop.cancel(client, payment, key="a-cancel"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.cancel")


def undecidable_refund(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.paid(client, "no_webhook")
    lie(line, other_refund, "refund_payment", "find_refund")
    refund = shop.data(shop.refund(client, payment, 3_000, key="a-refund"), 202)
    return refund, saga_in_review(refund["refund_no"], "refund.create")


def silent_refund(client: SignedClient, line: InterceptedSimulator) -> InReview:
    """The refund may have happened, and the channel does not say."""
    payment = shop.paid(client, "no_webhook,refund:timeout_after*always,query_refund:timeout_before*always")
    refund = shop.data(shop.refund(client, payment, 3_000), 202)
    return refund, saga_in_review(refund["refund_no"], "refund.create")


OF_PAYMENTS = (undecidable_creation, creation_not_undone, undecidable_capture, undecidable_cancel)
OF_REFUNDS = (undecidable_refund, silent_refund)


def resolve(saga: SagaInstance, resolution: str = "") -> None:
    operate(
        operation=Operation.MARK_RESOLVED,
        saga_id=saga.id,
        seen_revision=saga.revision,
        actor="ana",
        reason="the bank said so",
        result=resolution,
    )


def unwatched() -> tuple[str, ...]:
    (result,) = run_checks(only=["open_payments_watched"], grace=timedelta(0)).results
    return result.sample


@pytest.mark.parametrize("make_case", OF_PAYMENTS)
def test_nothing_said_leaves_the_payment_open_and_watched(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    payment, saga = make_case(client, line)
    Payment.objects.update(next_check_at=None)
    resolve(saga)
    assert unwatched() == ()
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert row.is_open
    line.mend()
    background.make_checks_due()
    poll_due()
    row.refresh_from_db()
    reported = bank.get_channel_payment(payment["payment_no"])
    assert row.captured_minor == reported.captured_minor, "the channel is believed"


@pytest.mark.parametrize("make_case", OF_PAYMENTS)
def test_unpaid_ends_the_payment_and_its_order(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    payment, saga = make_case(client, line)
    resolve(saga, "unpaid")
    row = Payment.objects.select_related("order").get(payment_no=payment["payment_no"])
    assert (row.status, row.failure_code, row.order.status) == ("failed", "resolved_by_staff", "cancelled")
    assert unwatched() == ()


def test_unpaid_that_was_not_true_is_late_money(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, saga = undecidable_cancel(client, line)
    resolve(saga, "unpaid")
    line.mend()
    shop.data(shop.sync(client, payment))
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.refunded_minor) == ("failed", 10_000, 10_000)


@pytest.mark.parametrize(
    ("make_case", "captured"),
    [
        (undecidable_creation, 10_000),
        (creation_not_undone, 10_000),
        (undecidable_capture, 4_000),
        (undecidable_cancel, 10_000),
    ],
)
def test_paid_makes_the_money_ours(
    client: SignedClient, line: InterceptedSimulator, make_case: Any, captured: int
) -> None:
    payment, saga = make_case(client, line)
    resolve(saga, "paid")
    row = Payment.objects.select_related("order").get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.order.status) == ("succeeded", captured, "paid")


@pytest.mark.parametrize("make_case", OF_REFUNDS)
def test_nothing_said_keeps_a_refund_reserved_and_watched(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    refund, saga = make_case(client, line)
    resolve(saga)
    assert unwatched() == ()
    row = Refund.objects.select_related("payment").get(refund_no=refund["refund_no"])
    assert (row.status, row.payment.refund_pending_minor) == ("pending", 3_000)
    line.mend()
    if make_case is undecidable_refund:
        poll_due()
        row.refresh_from_db()
        assert row.status == "succeeded"


@pytest.mark.parametrize("make_case", OF_REFUNDS)
@pytest.mark.parametrize(
    ("resolution", "status", "refunded"), [("refunded", "succeeded", 3_000), ("not_refunded", "failed", 0)]
)
def test_a_refund_ends_as_a_person_says(
    client: SignedClient,
    line: InterceptedSimulator,
    make_case: Any,
    resolution: str,
    status: str,
    refunded: int,
) -> None:
    refund, saga = make_case(client, line)
    resolve(saga, resolution)
    row = Refund.objects.select_related("payment").get(refund_no=refund["refund_no"])
    assert (row.status, row.payment.refunded_minor, row.payment.refund_pending_minor) == (status, refunded, 0)
    assert unwatched() == ()
    (totals,) = run_checks(only=["refund_totals"]).results
    assert totals.passed


def test_late_money_that_could_not_even_be_reserved_stays_with_a_person(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment = shop.opened(client, "no_webhook")
    shop.data(shop.cancel(client, payment))
    bank.pay_closed_payment(payment)
    shop.data(shop.sync(client, payment))
    saga = SagaInstance.objects.get(definition="refund.create")
    SagaInstance.objects.filter(pk=saga.pk).update(
        status="in_progress",
        needs_attention=True,
        attention_reason="claimed 6 times without progress",
        lease_expires_at=None,
    )
    resolve(saga)
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.needs_attention, row.attention_reason) == (True, "the late payment was not refunded")
    with pytest.raises(NotPermitted):
        resolve(SagaInstance.objects.get(pk=saga.pk), "refunded")


def test_what_is_paid_is_not_called_unpaid(client: SignedClient, line: InterceptedSimulator) -> None:
    """The webhook wakes the cancellation, whose queries are still answered wrongly: it needs review again."""
    payment, saga = undecidable_cancel(client, line)
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "applied"
    background.finish()
    saga.refresh_from_db()
    with translation.override("en"), pytest.raises(NotPermitted, match="is paid"):
        resolve(saga, "unpaid")
    saga.refresh_from_db()
    assert saga.needs_attention
    assert not StaffAction.objects.exists()


def test_a_cancellation_in_review_ends_by_itself_when_the_payment_is_paid(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = undecidable_cancel(client, line)
    line.mend()
    shop.data(shop.sync(client, payment))
    background.finish()
    saga.refresh_from_db()
    assert (saga.status, saga.needs_attention) == (SagaStatus.COMPLETED, False)
    assert shop.get_payment(client, payment)["status"] == "succeeded"


def test_said_of_what_has_moved_on_nothing_becomes_true(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = undecidable_creation(client, line)
    signals.deliver_signal(saga_id=saga.id, name="x", signal_id="1")
    with pytest.raises(StaleView):
        resolve(saga, "unpaid")
    assert Payment.objects.get(payment_no=payment["payment_no"]).status == "pending"


@pytest.mark.parametrize("_round", range(5))
def test_a_person_says_unpaid_while_the_bank_says_paid(
    client: SignedClient, line: InterceptedSimulator, _round: int
) -> None:
    """Both lock the payment first. The second one finds what the first one wrote, and no money is lost."""
    payment, saga = undecidable_cancel(client, line)
    line.mend()

    def person() -> str:
        try:
            resolve(saga, "unpaid")
        except (NotPermitted, StaleView):
            return "refused"
        return "said"

    said, _told = at_once(person, lambda: shop.sync(client, payment).status_code)
    background.finish()
    row = Payment.objects.get(payment_no=payment["payment_no"])
    if said == "said":
        assert (row.status, row.captured_minor, row.refunded_minor) == ("failed", 10_000, 10_000)
    else:
        assert (row.status, row.captured_minor, row.refunded_minor) == ("succeeded", 10_000, 0)


def test_a_step_of_our_own_tables_is_not_skipped(client: SignedClient) -> None:
    """It would leave the payment open, and nobody watching."""
    payment = shop.opened(client)
    saga = background.saga_of(payment["payment_no"], "payment.create")
    saga.steps.filter(step_name="ActivatePayment").update(status="pending")
    with without_triggers():
        SagaInstance.objects.filter(pk=saga.pk).update(
            status="in_progress", completed_at=None, needs_attention=True, attention_reason="poison"
        )
    with translation.override("en"), pytest.raises(NotPermitted, match="ActivatePayment changes our own"):
        operate(
            operation=Operation.SKIP_STEP,
            saga_id=saga.id,
            seen_revision=saga.revision,
            actor="ana",
            reason="x",
            result="{}",
        )


def test_a_repeated_request_hears_how_it_ended(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, saga = undecidable_creation(client, line)
    resolve(saga, "unpaid")
    again = shop.create(client, "no_webhook", order_no="ORDER-1", key="a-creation")
    details = shop.error(again, 402, "payment_declined")
    assert details["payment_no"] == payment["payment_no"]
    assert details["failure_code"] == "resolved_by_staff"


def test_repeated_captures_and_refunds_hear_how_they_ended(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = undecidable_capture(client, line)
    resolve(saga, "unpaid")
    assert shop.capture(client, payment, amount=4_000, key="a-capture").status_code == 402
    refund, saga = undecidable_refund(client, line)
    resolve(saga, "refunded")
    reported = shop.data(shop.refund(client, refund, 3_000, key="a-refund"))
    assert reported["status"] == "succeeded"


def command(*words: str) -> str:
    out = StringIO()
    with translation.override("en"):
        call_command("saga", *words, stdout=out)
    return out.getvalue()


def test_in_the_terminal(client: SignedClient, line: InterceptedSimulator) -> None:
    refund, saga = undecidable_refund(client, line)
    reported = command("show", str(saga.id))
    for resolution in registry.find_definition("refund.create", 1).resolutions:
        assert f"--as {resolution.name}" in reported
    assert "Refunded: the channel has refunded the money" in reported
    assert "resolutions: watch | refunded | not_refunded" in command("graph", "refund.create")
    words = ("resolve", str(saga.id), "--reason", "told on the phone", "--actor", "ana", "--as")
    with pytest.raises(CommandError, match="has no resolution gone"):
        command(*words, "gone")
    assert 'ending: "refunded"' in command(*words, "refunded")
    assert Refund.objects.get(refund_no=refund["refund_no"]).status == "succeeded"
    action = StaffAction.objects.get(action="saga.mark_resolved")
    assert (action.actor, action.reason, action.after["ending"]) == (
        "terminal:ana",
        "told on the phone",
        "refunded",
    )
    assert not action.before.get("ending")


def test_on_the_page(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, saga = undecidable_creation(client, line)
    ana = browser("ana", "view_sagainstance", "operate_sagainstance")
    html = unescape(ana.get(reverse("admin:sagas_sagainstance_change", args=[saga.pk])).content.decode())
    for resolution in registry.find_definition("payment.create", 1).resolutions:
        assert f'value="{resolution.name}"' in html
    assert "Not paid: the payment fails and its order is cancelled" in html
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    form = {
        "resolution": "unpaid",
        "reason_code": "channel_said",
        "reason": "the bank said so",
        "confirm": payment["payment_no"],
        "seen": f"{saga.pk}:{saga.revision}",
    }
    assert ana.post(url, {**form, "resolution": "gone"}).status_code == 422
    assert ana.post(url, form).status_code == 302
    assert Payment.objects.get(payment_no=payment["payment_no"]).status == "failed"
    assert StaffAction.objects.get().after["ending"] == "unpaid"


def test_many_at_once_decide_nothing(client: SignedClient, line: InterceptedSimulator) -> None:
    sagas = [make_case(client, line)[1] for make_case in (undecidable_capture, undecidable_refund)]
    ana = browser("ana", "view_sagainstance", "operate_sagainstance")
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    asked = "&".join(f"id={saga.pk}" for saga in sagas)
    assert 'name="resolution"' not in ana.get(f"{url}?{asked}").content.decode()
